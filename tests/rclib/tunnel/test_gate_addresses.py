from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.gate_addresses import (
    LocalAddress,
    LocalRoute,
    check_link_addresses,
    check_reachable,
    free_addresses,
    reach_of,
)
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_plan import Device, Grant, TunnelPlan
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


VIRTUAL = ip_address("100.96.0.10")


@pytest.mark.parametrize("target", ["192.168.1.10", "192.168.177.2", "172.16.0.1"])
def test_an_address_nobody_else_uses_leads_into_the_tunnel_as_well_as_the_virtual_one(
    target: str,
) -> None:
    device = Device(ip_address(target), VIRTUAL)
    routed = free_addresses([device], OWN, ROUTES)
    assert routed == (device.address, VIRTUAL)
    assert reach_of(device, routed) == device.address


@pytest.mark.parametrize(
    ("target", "interface", "network"),
    [
        ("192.168.178.10", "eth0", "192.168.178.0/24"),
        ("192.168.178.2", "eth0", "192.168.178.0/24"),
        ("fd00:2::10", "eth0", "fd00:2::/64"),
        ("10.1.2.3", "vpn0", "10.0.0.0/8"),
    ],
)
def test_what_this_computer_reaches_elsewhere_is_never_led_into_the_tunnel(
    target: str, interface: str, network: str
) -> None:
    device = Device(ip_address(target), VIRTUAL)
    routed = free_addresses([device], OWN, ROUTES)
    assert routed == (VIRTUAL,)
    assert reach_of(device, routed) == VIRTUAL
    check_reachable([device], routed, OWN, ROUTES)
    nameless = Device(ip_address(target))
    with pytest.raises(GateRefused) as refused:
        check_reachable([nameless], free_addresses([nameless], OWN, ROUTES), OWN, ROUTES)
    assert refused.value.error is GateError.ADDRESS_IN_USE
    for word in (target, interface, network):
        assert word in refused.value.detail


def test_a_device_another_session_has_already_is_refused() -> None:
    device = Device(ip_address("192.168.1.10"), VIRTUAL)
    taken = [LocalRoute("rctaaaa", ip_network(f"{each}/32")) for each in ("192.168.1.10", VIRTUAL)]
    assert free_addresses([device], OWN, taken) == ()
    with pytest.raises(GateRefused, match="end the session that has the device already"):
        check_reachable([device], (), OWN, taken)


networks = st.ip_addresses(v=4, network="192.168.0.0/22").flatmap(
    lambda address: st.integers(20, 32).map(
        lambda length: ip_network((int(address), length), strict=False)
    )
)


@given(
    st.lists(st.ip_addresses(v=4, network="192.168.0.0/22"), min_size=1, max_size=8),
    st.lists(networks.map(lambda network: LocalRoute("eth0", network)), max_size=5),
)
def test_no_own_network_is_ever_led_into_the_tunnel(
    addresses: list[IPv4Address], routes: list[LocalRoute]
) -> None:
    devices = [
        Device(address, IPv4Address("100.96.0.1") + number)
        for number, address in enumerate(addresses)
    ]
    routed = free_addresses(devices, (), routes)
    assert not any(each in route.network for each in routed for route in routes)
    for device in devices:
        is_own = any(device.address in route.network for route in routes)
        assert reach_of(device, routed) == (device.virtual if is_own else device.address)


def test_link_addresses_stay_clear_of_carrier_grade_nat() -> None:
    check_link_addresses(plan(), OWN, ROUTES)
    carrier = LocalAddress("wan0", ip_interface("100.64.3.4/10"))
    with pytest.raises(GateRefused, match="wan0"):
        check_link_addresses(plan(), (*OWN, carrier), ROUTES)
    with pytest.raises(GateRefused, match="wan0"):
        check_link_addresses(plan(), OWN, (LocalRoute("wan0", ip_network("100.64.0.1/32")),))
