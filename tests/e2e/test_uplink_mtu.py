"""An upload in full segments over an uplink that takes less: by relay, directly, at either end.

The PLC has an Ethernet's 1500 bytes, forbids fragments, and ignores every ICMP that would tell it
of a smaller path, as plants' firewalls teach machines to. Only the segment size in the handshakes
can help it, which the tunnel's MTU decides: offered by the technician's computer, bounded by the
gateway (tests/rcd/gate sees that bound).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import pytest

from testbed.nat import WAN, NatKind
from testbed.story import ECHO, PLC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.bed import Testbed
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

UPLINK_MTU: Final = 1400
ETHERNET_MTU: Final = 1500
TUNNEL_MTU: Final = 1280
DEAF_PLC: Final = """
table inet deaf {
  chain input { type filter hook input priority 0; icmp type destination-unreachable drop; }
}
"""
# Arguments: address, port, bytes for TCP, bytes of a datagram, datagrams. Prints what came back.
TRANSFER: Final = """
import json, os, socket, sys, threading
address, port, size, datagram, count = sys.argv[1], *map(int, sys.argv[2:])
sent, got = os.urandom(size), bytearray()
with socket.create_connection((address, port), 10) as tcp:
    tcp.settimeout(15)
    threading.Thread(target=tcp.sendall, args=(sent,), daemon=True).start()
    try:
        while len(got) < size and (data := tcp.recv(65536)):
            got += data
    except TimeoutError:
        pass
back = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.connect((address, port))
    udp.settimeout(2)
    for _ in range(count):
        said = os.urandom(datagram)
        udp.send(said)
        try:
            back += udp.recv(65536) == said
        except TimeoutError:
            pass
print(json.dumps({"tcp": len(got), "intact": bytes(got) == sent, "udp": back}))
"""
TCP_BYTES: Final = 200_000
DATAGRAM_BYTES: Final = 1200
DATAGRAMS: Final = 20


def set_uplink_mtu(bed: Testbed, site: str, mtu: int) -> None:
    """At both ends of the site's cable to the internet."""
    for host, interface in ((f"{site}_nat", WAN), ("internet", site)):
        bed.host(host).run(["ip", "link", "set", interface, "mtu", str(mtu)], check=True)


@pytest.fixture(params=["tech", "plant"])
def narrow(request: pytest.FixtureRequest, story: Story) -> Iterator[Story]:
    """The site's uplink is narrow, and the PLC hears nothing of it."""
    set_uplink_mtu(story.bed, request.param, UPLINK_MTU)
    plc = story.bed.host("plc")
    plc.run(["nft", "-f", "-"], stdin=DEAF_PLC, check=True)
    plc.run(["ip", "link", "set", "eth0", "gso_max_segs", "1"], check=True)  # packets as on a wire
    yield story
    plc.run(["ip", "link", "set", "eth0", "gso_max_segs", "65535"], check=True)
    plc.run(["nft", "delete", "table", "inet", "deaf"], check=True)
    set_uplink_mtu(story.bed, request.param, ETHERNET_MTU)


@pytest.fixture(params=["direct", "relay"])
def path(request: pytest.FixtureRequest, narrow: Story) -> Iterator[str]:
    """A session whose packets go that way."""
    kind = NatKind.SYMMETRIC if request.param == "relay" else NatKind.PORT_PRESERVING
    routers = ("tech_nat", "plant_nat")
    for router in routers:
        narrow.bed.set_nat(router, kind)
    narrow.turn_on()
    narrow.prepare(("tcp", ECHO), ("udp", ECHO))
    narrow.start()
    assert narrow.settled_path()["kind"] == request.param
    yield request.param
    narrow.turn_off()
    narrow.client.wait(15)
    for router in routers:
        narrow.bed.set_nat(router, NatKind.PORT_PRESERVING)


@pytest.mark.slow
def test_an_upload_and_large_datagrams_pass_a_narrow_uplink(narrow: Story, path: str) -> None:
    full = narrow.bed.counter("plc", f"oifname eth0 tcp sport {ECHO} ip length >= 1200")
    too_large = narrow.bed.counter("plc", f"oifname eth0 tcp sport {ECHO} ip length > {TUNNEL_MTU}")
    sizes = map(str, (TCP_BYTES, DATAGRAM_BYTES, DATAGRAMS))
    command = [sys.executable, "-c", TRANSFER, PLC, str(ECHO), *sizes]
    said = narrow.bed.host("technician").run(command, timeout_s=60, check=True).stdout
    assert json.loads(said) == {"tcp": TCP_BYTES, "intact": True, "udp": DATAGRAMS}
    # The echo's own writes end in shorter ones: most are full.
    assert full.packets >= TCP_BYTES // TUNNEL_MTU // 2
    assert too_large.packets == 0
