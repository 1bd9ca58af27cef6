from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_plan import (
    LINK_NETWORK_V6,
    Device,
    Grant,
    check_among,
    interface_name,
    link_address_v6,
    plan_tunnel,
)
from rclib.wire.gate import Allow, GateError, Open
from rclib.wire.ids import SessionId, TunnelKey, make_id
from rclib.wire.session import LINK_NETWORK, Protocol

sessions = st.binary(min_size=10, max_size=10).map(lambda each: SessionId(make_id("ses", each)))
MODBUS = Allow("192.168.1.10", Protocol.TCP, 502)


def reached_by(address: str, virtual: str | None) -> Allow:
    return Allow(address, Protocol.TCP, 502, virtual)


def request(**changed: Any) -> Open:  # noqa: ANN401 -- any field of Open
    fields: dict[str, Any] = {
        "session": SessionId("ses_abcdefghijklmnop"),
        "peer_key": TunnelKey(bytes(32)),
        "local_address": "100.64.0.1",
        "peer_address": "100.64.0.2",
        "endpoint_port": 4000,
        "allow": (MODBUS,),
        "mtu": 1280,
    }
    return Open(**{**fields, **changed})


class TestPlan:
    def test_addresses_and_grants_are_typed(self) -> None:
        plan = plan_tunnel("rcg", request())
        assert plan.interface == "rcgabcdefghijkl"
        assert plan.local == IPv4Address("100.64.0.1")
        assert plan.grants == (Grant(IPv4Address("192.168.1.10"), Protocol.TCP, 502),)
        assert plan.versions == (4,)

    def test_ipv6_devices_bring_ipv6_link_addresses(self) -> None:
        plan = plan_tunnel("rcg", request(allow=(MODBUS, Allow("fd00:1::10", Protocol.UDP))))
        assert plan.versions == (4, 6)
        assert plan.local_address(6) == IPv6Address("fdc4:9a1e:6b7d::6440:1")
        assert plan.peer_address(6) == IPv6Address("fdc4:9a1e:6b7d::6440:2")
        assert plan.peer_address(4) == IPv4Address("100.64.0.2")

    def test_a_mapped_address_is_the_ipv4_address_it_hides(self) -> None:
        plan = plan_tunnel("rcg", request(allow=(Allow("::ffff:192.168.1.10", Protocol.TCP),)))
        assert plan.targets == (IPv4Address("192.168.1.10"),)

    def test_what_is_granted_twice_is_granted_once(self) -> None:
        assert len(plan_tunnel("rcg", request(allow=(MODBUS, MODBUS))).grants) == 1

    def test_every_allow_names_its_device(self) -> None:
        allows = (reached_by("192.168.1.10", "100.96.0.1"), MODBUS, MODBUS)
        assert plan_tunnel("rcg", request(allow=allows)).devices == (
            Device(IPv4Address("192.168.1.10"), IPv4Address("100.96.0.1")),
            Device(IPv4Address("192.168.1.10")),
            Device(IPv4Address("192.168.1.10")),
        )

    @pytest.mark.parametrize(
        ("changed", "error"),
        [
            ({"local_address": "192.168.1.1"}, GateError.FORBIDDEN_ADDRESS),
            ({"peer_address": "fdc4:9a1e:6b7d::6440:2"}, GateError.FORBIDDEN_ADDRESS),
            ({"local_address": "100.64.0.2"}, GateError.MALFORMED),
            ({"local_address": "100.64.0.0/10"}, GateError.MALFORMED),
            ({"allow": (Allow("plc", Protocol.TCP, 1),)}, GateError.MALFORMED),
            ({"allow": (Allow("0.0.0.0/0", Protocol.TCP, 1),)}, GateError.MALFORMED),
            ({"allow": (Allow("192.168.1.10 . 6", Protocol.TCP, 1),)}, GateError.MALFORMED),
            ({"allow": (Allow("fe80::1%lan0", Protocol.TCP, 1),)}, GateError.MALFORMED),
            ({"allow": (Allow("192.168.1.10", Protocol.ICMP_ECHO, 1),)}, GateError.MALFORMED),
            ({"allow": (reached_by("192.168.1.10", "192.168.1.11"),)}, GateError.FORBIDDEN_ADDRESS),
            ({"allow": (reached_by("192.168.1.10", "100.64.0.9"),)}, GateError.FORBIDDEN_ADDRESS),
            ({"allow": (reached_by("100.96.0.1", "100.96.0.2"),)}, GateError.FORBIDDEN_ADDRESS),
            ({"allow": (reached_by("100.64.0.9", None),)}, GateError.FORBIDDEN_ADDRESS),
            ({"allow": (reached_by("fd00:1::10", "100.96.0.1"),)}, GateError.MALFORMED),
            ({"allow": (reached_by("192.168.1.10", "100.96.0.0/11"),)}, GateError.MALFORMED),
            (
                {
                    "allow": (
                        reached_by("192.168.1.10", "100.96.0.1"),
                        reached_by("192.168.1.11", "100.96.0.1"),
                    )
                },
                GateError.MALFORMED,
            ),
        ],
    )
    def test_what_no_end_can_carry_out_is_refused(
        self, changed: dict[str, Any], error: GateError
    ) -> None:
        with pytest.raises(GateRefused) as refused:
            plan_tunnel("rcg", request(**changed))
        assert refused.value.error is error


class TestNames:
    @given(sessions)
    def test_a_name_fits_the_kernel_and_the_rules(self, session: SessionId) -> None:
        name = interface_name("rcg", session)
        assert len(name) == 15
        assert name.startswith("rcg")
        assert name.isalnum()

    def test_tunnels_share_neither_name_nor_link_address(self) -> None:
        plan = plan_tunnel("rcg", request())
        other = plan_tunnel(
            "rcg",
            request(
                session="ses_bbbbbbbbbbbbbbbb",
                local_address="100.64.0.2",
                peer_address="100.64.0.3",
            ),
        )
        for taken in (plan, other):
            with pytest.raises(GateRefused) as refused:
                check_among(plan, [taken])
            assert refused.value.error is GateError.ADDRESS_IN_USE
        third = plan_tunnel(
            "rcg",
            request(
                session="ses_bbbbbbbbbbbbbbbb",
                local_address="100.64.0.3",
                peer_address="100.64.0.4",
            ),
        )
        check_among(plan, [third])


@given(st.ip_addresses(v=4, network=str(LINK_NETWORK)))
def test_ipv6_link_addresses_follow_from_ipv4_ones(address: IPv4Address) -> None:
    derived = link_address_v6(address)
    assert derived in LINK_NETWORK_V6
    assert int(derived) & 0xFFFFFFFF == int(address)
