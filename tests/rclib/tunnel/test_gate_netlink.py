from __future__ import annotations

import base64
import socket
import sys
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyroute2", reason="Linux only")

from pyroute2.netlink.generic.wireguard import wgmsg

from rclib.tunnel.gate_addresses import LocalAddress, LocalRoute
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_netlink import Netlink, PeerCounters, merge_peers
from rclib.wire.gate import GateError
from tests.rclib.tunnel.conftest import inside

if TYPE_CHECKING:
    from testbed.host import Host


def message(*peers: dict[str, Any]) -> Any:  # noqa: ANN401 -- pyroute2 has no types
    """Return what the kernel would send about an interface, once through pyroute2's codec."""
    built = wgmsg()
    built["attrs"] = [["WGDEVICE_A_IFNAME", "rcg0"], ["WGDEVICE_A_PEERS", list(peers)]]
    built.encode()
    read = wgmsg(built.data)
    read.decode()
    return read


def peer(key: bytes, *counters: int) -> dict[str, Any]:
    attributes: list[list[Any]] = [["WGPEER_A_PUBLIC_KEY", base64.b64encode(key).decode()]]
    if counters:
        received, sent, second = counters
        attributes += [
            ["WGPEER_A_RX_BYTES", received],
            ["WGPEER_A_TX_BYTES", sent],
            ["WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": second, "tv_nsec": 500_000_000}],
        ]
    return {"attrs": attributes}


def test_peers_split_over_messages_are_all_there_with_their_counters() -> None:
    keys = [bytes([number]) * 32 for number in range(3)]
    messages = [
        message(peer(keys[0], 1, 2, 3), peer(keys[1], 4, 5, 0)),
        message(peer(keys[1]), peer(keys[2], 7, 8, 9)),
    ]
    assert merge_peers(messages) == {
        keys[0]: PeerCounters(1, 2, 3.5),
        keys[1]: PeerCounters(4, 5, 0.5),
        keys[2]: PeerCounters(7, 8, 9.5),
    }


def test_an_interface_without_peers_has_no_counters() -> None:
    assert merge_peers([wgmsg()]) == {}


def addresses_and_routes() -> None:
    netlink = Netlink()
    own = {each for each in netlink.addresses() if each.interface == "eth0"}
    mine = next(each.address for each in own if each.address.version == 4)
    assert LocalAddress("lo", ip_interface("127.0.0.1/8")) in netlink.addresses()
    assert LocalRoute("eth0", mine.network) in netlink.routes()
    assert all(route.network.prefixlen > 0 for route in netlink.routes())
    assert netlink.interface_towards(mine.network[9]) == "eth0"
    assert netlink.interface_towards(mine.ip) is None, "it does not leave"
    for nowhere in ("198.18.0.1", "198.18.1.1", "fd00:ffff::1"):
        assert netlink.interface_towards(ip_address(nowhere)) is None


@pytest.mark.netns
def test_addresses_and_routes_are_read_as_they_are(host: Host) -> None:
    for family in ("-4", "-6"):
        host.run(["ip", family, "route", "flush", "default"])
    host.run(["ip", "route", "add", "unreachable", "198.18.0.0/24"], check=True)
    inside(host, addresses_and_routes)


def link_life() -> None:
    netlink = Netlink()
    # A dummy may be missing in the kernel; one half of a veth is an interface as well.
    from pyroute2 import IPRoute  # noqa: PLC0415 -- a second opinion, inside the host

    with IPRoute() as ip:
        ip.link("add", ifname="rcgtest", kind="veth", peer="rcgfar")
    netlink.add_address("rcgtest", ip_address("100.64.0.1"), ip_address("100.64.0.2"))
    netlink.set_up("rcgtest", 1280)
    netlink.add_route("rcgtest", ip_address("192.168.9.9"), ip_address("100.64.0.1"))
    assert set(netlink.links("rcg")) == {"rcgtest", "rcgfar"}
    assert LocalAddress("rcgtest", ip_interface("100.64.0.1/32")) in netlink.addresses()
    routed = {route.network for route in netlink.routes() if route.interface == "rcgtest"}
    assert {ip_network("100.64.0.2/32"), ip_network("192.168.9.9/32")} <= routed
    with IPRoute() as ip:
        (link,) = ip.link("get", index=ip.link_lookup(ifname="rcgtest")[0])
        assert link.get("IFLA_MTU") == 1280
    netlink.delete_link("rcgtest")
    netlink.delete_link("rcgtest")
    assert netlink.links("rcg") == ()
    assert netlink.interface_towards(ip_address("192.168.9.9")) != "rcgtest"


@pytest.mark.netns
def test_a_link_takes_its_addresses_and_routes_with_it(host: Host) -> None:
    inside(host, link_life)


def source_at_once() -> None:
    netlink = Netlink()
    netlink.add_address("eth0", ip_address("fd00::1"), ip_address("fd00::2"))
    # Duplicate address detection would take a second here.
    netlink.add_route("eth0", ip_address("fd00:1::10"), ip_address("fd00::1"))


def test_an_ipv6_address_of_ours_is_a_routes_source_at_once(host: Host) -> None:
    host.run(["sysctl", "-q", "net.ipv6.conf.eth0.disable_ipv6=0"], check=True)
    inside(host, source_at_once)


def forgotten_flows() -> None:
    for family, address, other in (
        (socket.AF_INET, "127.0.0.1", "127.0.0.2"),
        (socket.AF_INET6, "::1", None),
    ):
        with socket.socket(family, socket.SOCK_DGRAM) as flow:
            flow.bind((address, 5000))
            flow.sendto(b"x", (address, 9))
        netlink, source = Netlink(), ip_address(address)
        if other is not None:
            netlink.forget_flows(ip_address(other))
            assert flows(address) == 1
        netlink.forget_flows(source)
        assert flows(address) == 0


def flows(source: str) -> int:
    import subprocess  # noqa: PLC0415 -- a second opinion, inside the host

    family = "ipv6" if ":" in source else "ipv4"
    command = ["conntrack", "-L", "-f", family, "-s", source]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return len(listed.stdout.splitlines())


@pytest.mark.netns
def test_flows_are_forgotten_by_their_source(host: Host) -> None:
    tracking = (
        "table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }"
    )
    host.run(["nft", "-f", "-"], stdin=tracking, check=True)
    inside(host, forgotten_flows)


def faults() -> None:
    netlink = Netlink()
    with pytest.raises(GateRefused, match="bringing rcgnone up") as refused:
        netlink.set_up("rcgnone", 1280)
    assert refused.value.error is GateError.SYSTEM
    netlink.add_address("eth0", ip_address("100.64.0.1"), ip_address("100.64.0.2"))
    with pytest.raises(GateRefused, match=r"giving eth0 the address 100\.64\.0\.1"):
        netlink.add_address("eth0", ip_address("100.64.0.1"), ip_address("100.64.0.2"))


@pytest.mark.netns
def test_faults_say_what_was_being_done(host: Host) -> None:
    inside(host, faults)


def no_privilege() -> None:
    with pytest.raises(GateRefused) as refused:
        Netlink().delete_link("eth0")
    assert refused.value.error is GateError.NO_PRIVILEGE


@pytest.mark.netns
def test_a_missing_privilege_is_told_apart(host: Host) -> None:
    script = f"import runpy; runpy.run_path({__file__!r})['no_privilege']()"
    python = [sys.executable, "-c", script]
    host.run(["setpriv", "--bounding-set=-net_admin", *python], check=True)
