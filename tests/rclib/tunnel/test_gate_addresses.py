from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import pytest

from rclib.tunnel.gate_addresses import (
    LocalAddress,
    LocalRoute,
    check_link_addresses,
    check_routable,
)
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_plan import Grant, TunnelPlan
from rclib.wire.gate import GateError
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol

OWN = (
    LocalAddress("eth0", ip_interface("192.168.178.2/24")),
    LocalAddress("eth0", ip_interface("fd00:2::2/64")),
)
ROUTES = (LocalRoute("vpn0", ip_network("10.0.0.0/8")),)


def plan() -> TunnelPlan:
    return TunnelPlan(
        SessionId("ses_aaaaaaaaaaaaaaaa"),
        "rctaaaaaaaaaaaa",
        IPv4Address("100.64.0.2"),
        IPv4Address("100.64.0.1"),
        (Grant(IPv4Address("192.168.1.10"), Protocol.TCP, 502),),
        TunnelKey(bytes(32)),
        4000,
        1280,
        25,
    )


@pytest.mark.parametrize("target", ["192.168.1.10", "192.168.177.2", "172.16.0.1", "fd00:1::10"])
def test_addresses_nobody_else_uses_can_be_routed(target: str) -> None:
    check_routable([ip_address(target)], OWN, ROUTES)


@pytest.mark.parametrize(
    ("target", "interface", "network"),
    [
        ("192.168.178.10", "eth0", "192.168.178.0/24"),
        ("192.168.178.2", "eth0", "192.168.178.0/24"),
        ("fd00:2::10", "eth0", "fd00:2::/64"),
        ("10.1.2.3", "vpn0", "10.0.0.0/8"),
    ],
)
def test_a_conflict_names_interface_and_network(target: str, interface: str, network: str) -> None:
    with pytest.raises(GateRefused) as refused:
        check_routable([ip_address(target)], OWN, ROUTES)
    assert refused.value.error is GateError.ADDRESS_IN_USE
    for word in (target, interface, network):
        assert word in refused.value.detail


def test_link_addresses_stay_clear_of_carrier_grade_nat() -> None:
    check_link_addresses(plan(), OWN, ROUTES)
    carrier = LocalAddress("wan0", ip_interface("100.64.3.4/10"))
    with pytest.raises(GateRefused, match="wan0"):
        check_link_addresses(plan(), (*OWN, carrier), ROUTES)
    with pytest.raises(GateRefused, match="wan0"):
        check_link_addresses(plan(), OWN, (LocalRoute("wan0", ip_network("100.64.0.1/32")),))
