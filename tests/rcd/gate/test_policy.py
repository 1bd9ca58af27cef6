from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcd.gate.policy import check_plant_network, check_targets
from rclib.tunnel.gate_addresses import LocalAddress
from rclib.tunnel.gate_errors import GateRefused
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from rclib.tunnel.gate_plan import IPNetwork

PLANT = (ip_network("192.168.1.0/24"), ip_network("fd00:1::/64"))
OWN = (
    LocalAddress("lan0", ip_interface("192.168.1.1/24")),
    LocalAddress("lan0", ip_interface("fd00:1::1/64")),
    LocalAddress("wan0", ip_interface("10.0.0.2/30")),
)
# An outer bound as wide as a careless administrator can make it.
WIDE = tuple(map(ip_network, ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")))


def refusal(target: str, networks: tuple[IPNetwork, ...] = PLANT) -> GateError | None:
    try:
        check_targets([ip_address(target)], networks, OWN)
    except GateRefused as exc:
        return exc.error
    return None


class TestTargets:
    @pytest.mark.parametrize("target", ["192.168.1.10", "192.168.1.254", "fd00:1::10"])
    def test_machines_of_the_plant_are_reachable(self, target: str) -> None:
        assert refusal(target) is None

    @pytest.mark.parametrize("target", ["192.168.2.10", "8.8.8.8", "10.0.0.1", "fd00:2::10"])
    def test_nothing_outside_the_plants_networks(self, target: str) -> None:
        assert refusal(target) is GateError.OUTSIDE_PLANT_NETWORKS

    @pytest.mark.parametrize("networks", [PLANT, WIDE], ids=["plant", "wide"])
    @pytest.mark.parametrize(
        "target",
        [
            "192.168.1.1",  # the gateway
            "fd00:1::1",
            "10.0.0.2",
            "192.168.1.0",
            "192.168.1.255",
            "255.255.255.255",
            "0.0.0.0",  # noqa: S104 -- a forbidden target
            "127.0.0.1",
            "127.8.8.8",
            "169.254.1.1",
            "224.0.0.1",
            "240.0.0.1",
            "100.64.0.2",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:192.168.1.10",
            "64:ff9b::c0a8:10a",
            "fdc4:9a1e:6b7d::6440:2",
            "fd00:1::",
        ],
    )
    def test_no_special_address_whatever_the_bound(
        self, target: str, networks: tuple[IPNetwork, ...]
    ) -> None:
        assert refusal(target, networks) in {
            GateError.FORBIDDEN_ADDRESS,
            GateError.OUTSIDE_PLANT_NETWORKS,
        }
        if networks is WIDE:
            assert refusal(target, networks) is GateError.FORBIDDEN_ADDRESS

    def test_without_plant_networks_there_is_nothing_to_reach(self) -> None:
        with pytest.raises(GateRefused, match=r"\(none\).*gate\.toml"):
            check_targets([IPv4Address("192.168.1.10")], (), OWN)

    def test_one_bad_target_spoils_the_session(self) -> None:
        with pytest.raises(GateRefused, match=r"192\.168\.2\.10 is outside"):
            check_targets([ip_address("192.168.1.10"), ip_address("192.168.2.10")], PLANT, OWN)

    def test_both_ends_of_a_point_to_point_network_are_machines(self) -> None:
        assert refusal("192.168.9.0", (ip_network("192.168.9.0/31"),)) is None
        assert refusal("192.168.9.1", (ip_network("192.168.9.0/31"),)) is None
        assert refusal("192.168.9.7", (ip_network("192.168.9.7/32"),)) is None

    @given(st.ip_addresses())
    def test_whatever_passes_is_a_machine_inside_the_bound(self, address: object) -> None:
        target = ip_address(str(address))
        if refusal(str(target)) is None:
            assert any(target in network for network in PLANT)
            assert target not in {each.address.ip for each in OWN}


class TestPlantNetworks:
    @pytest.mark.parametrize("network", ["192.168.0.0/16", "10.1.2.3/32", "fd00:1::/64"])
    def test_ordinary_networks(self, network: str) -> None:
        check_plant_network(ip_network(network))

    @pytest.mark.parametrize(
        "network",
        [
            "0.0.0.0/0",
            "::/0",
            "100.64.0.0/16",
            "100.0.0.0/8",
            "fdc4:9a1e:6b7d::/96",
            "127.0.0.0/8",
            "224.0.0.0/4",
            "169.254.0.0/16",
            "fe80::/10",
        ],
    )
    def test_a_bound_that_bounds_nothing_is_refused(self, network: str) -> None:
        with pytest.raises(ValueError, match=network):
            check_plant_network(ip_network(network))
