"""The kernel's WireGuard, in `make test-kernel`."""

from __future__ import annotations

import base64
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

import pytest

pytest.importorskip("pyroute2", reason="Linux only")

from pyroute2 import WireGuard

from rclib.runtime.secret import SecretBytes
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.wireguard import Steering, TunnelSettings, make_key_pair
from rclib.tunnel.wireguard_choice import choose_wireguard
from rclib.tunnel.wireguard_kernel import KernelWireGuard
from tests.rclib.tunnel.conftest import inside

if TYPE_CHECKING:
    from testbed.host import Host

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

MANY: Final = 400


def tunnel_life() -> None:
    netlink = Netlink()
    wireguard = KernelWireGuard(netlink)
    assert wireguard.works("rcg-probe")
    assert netlink.links("rcg") == ()
    settings = TunnelSettings(
        make_key_pair().private,
        make_key_pair().public,
        ("127.0.0.1", 4000),
        (ip_network("100.64.0.2/32"), ip_network("fd00::2/128")),
        25,
    )
    wireguard.create("rcgtest", settings)
    assert wireguard.bring_up("rcgtest", 1280) > 0
    counters = wireguard.counters("rcgtest")
    assert counters.received_bytes == 0
    assert counters.handshake_age_s is None
    for endpoint in (("192.0.2.9", 4711), ("2001:db8::9", 4711)):
        wireguard.steer("rcgtest", Steering(settings.peer_key, 0, 50_000, endpoint))
        assert wireguard.counters("rcgtest").endpoint == endpoint
    wireguard.probe("rcgtest", Steering(settings.peer_key, 0))
    assert netlink.wireguard_port("rcgtest") == 50_000
    with pytest.raises(GateRefused, match="creating rcgtest"):
        wireguard.create("rcgtest", settings)
    wireguard.remove("rcgtest")
    wireguard.remove("rcgtest")
    assert netlink.links("rcg") == ()


def test_a_tunnel_comes_and_goes(host: Host) -> None:
    inside(host, tunnel_life)


def half_made() -> None:
    netlink = Netlink()
    wireguard = KernelWireGuard(netlink)
    assert wireguard.works("rcg-probe")
    settings = TunnelSettings(
        SecretBytes(bytes(31)), make_key_pair().public, ("127.0.0.1", 4000), (), 0
    )
    with pytest.raises(ValueError, match="key"):
        wireguard.create("rcgtest", settings)
    assert netlink.links("rcg") == ()


def test_what_cannot_be_configured_is_not_left_behind(host: Host) -> None:
    inside(host, half_made)


def found_out() -> None:
    netlink = Netlink()
    wireguard = choose_wireguard(netlink, "rcg")
    assert isinstance(wireguard, KernelWireGuard), "it comes before wireguard-go"
    assert netlink.links("rcg") == ()


def test_finding_out_leaves_nothing_behind(host: Host) -> None:
    inside(host, found_out)


def four_hundred_peers() -> None:
    """As `wg` shows them, which reads netlink by itself."""
    netlink = Netlink()
    netlink.add_wireguard("rcgmany")
    lines = []
    for number in range(MANY):
        key = base64.b64encode(number.to_bytes(2) + bytes(29) + b"\1").decode()
        lines += ["[Peer]", f"PublicKey = {key}", f"Endpoint = 192.0.2.9:{1000 + number}"]
        # Some with so many addresses that the kernel tells of one peer in two messages.
        addresses = (f"fd00:{number:x}::{each:x}/128" for each in range(3 if number % 50 else 600))
        lines.append(f"AllowedIPs = {', '.join(addresses)}")
    setconf = ["wg", "setconf", "rcgmany", "/dev/stdin"]
    subprocess.run(setconf, input="\n".join(lines), text=True, check=True)
    dump = ["wg", "show", "rcgmany", "dump"]
    shown = subprocess.run(dump, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = {}
    for key, _, endpoint, *_ in (line.split("\t") for line in shown[1:]):
        host, _, port = endpoint.rpartition(":")
        expected[base64.b64decode(key)] = (host, int(port))
    assert len(expected) == MANY
    with WireGuard() as wireguard:
        messages = tuple(wireguard.info("rcgmany"))
    parts = [len(each.get("WGDEVICE_A_PEERS") or ()) for each in messages]
    assert len(parts) > 1, "otherwise this proves nothing"
    assert sum(parts) > MANY, "no peer was split; then this proves nothing"
    peers = netlink.wireguard_peers("rcgmany")
    assert {key: peer.endpoint for key, peer in peers.items()} == expected
    netlink.delete_link("rcgmany")


def test_four_hundred_peers_are_all_read_back_t29(host: Host) -> None:
    inside(host, four_hundred_peers)
