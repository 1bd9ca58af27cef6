"""A session on uplinks as plants have them: narrow, slow and lossy.

WireGuard's packets go from NAT to NAT as on a direct path, past every program of ours.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from rclib.wire.gate import Allow, UdpEndpoint
from rclib.wire.session import Protocol
from testbed.nat import WAN
from testbed.tools.plc import ECHO_PORT
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from testbed.host import Host

    Gates = Any  # of conftest.py

pytestmark = pytest.mark.netns

PORTS: Final = {"rcd": 51_001, "rcc": 51_002}
SIDES: Final = {"rcd": "plant_nat", "rcc": "tech_nat"}
TUNNEL_MTU: Final = 1280
NARROW_MTU: Final = 1400
ANSWERS: Final = 30

NETEM: Final = ("delay", "50ms", "10ms", "loss", "1%")

# Sends so many bytes to an echo service and compares what comes back; then a datagram that fills
# the tunnel, again if it is lost. Arguments: address, port, bytes, bytes of the datagram.
UPLOAD: Final = """
import os, socket, sys, threading
address, (whole, size) = (sys.argv[1], int(sys.argv[2])), map(int, sys.argv[3:])
data = os.urandom(whole)
with socket.create_connection(address, 60) as link:
    sender = threading.Thread(target=link.sendall, args=(data,))
    sender.start()
    back = bytearray()
    while len(back) < len(data) and (part := link.recv(65536)):
        back += part
    sender.join()
assert back == data, f"{len(back)} bytes came back"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.settimeout(20)
    link.connect(address)
    for last in (False, False, True):
        link.send(data[:size])
        try:
            assert link.recv(65536) == data[:size]
            break
        except TimeoutError:
            if last:
                raise
"""
DATAGRAM: Final = TUNNEL_MTU - 20 - 8
"""IPv4 and UDP headers."""


@asynccontextmanager
async def direct(ready: Gates) -> AsyncIterator[Any]:
    """A renewed session whose packets go from NAT to NAT."""
    session = ready.session("a")
    async with ready.controlled() as pair:
        echo = [Allow(ready.plc, kind, ECHO_PORT) for kind in (Protocol.TCP, Protocol.UDP)]
        await pair.open(echo, technician_allow=[*echo, Allow(ready.hmi, Protocol.TCP, 80)])
        crossing = ready.bed.counter(
            "internet", f"udp dport {{ {', '.join(map(str, PORTS.values()))} }}"
        )
        async with pair.renewing("a"):
            for gate, own, other in ((pair.gateway, "rcd", "rcc"), (pair.technician, "rcc", "rcd")):
                address = str(ready.bed.host(SIDES[other]).addresses_on(WAN)[0].ip)
                endpoint = UdpEndpoint(address, PORTS[other])
                await gate.steer(session, listen_port=PORTS[own], endpoint=endpoint)
            ready.end_links()  # the way there was before
            yield pair
        assert crossing.packets > ANSWERS, "another way was taken; then this proves nothing"


def upload(ready: Gates, size: int) -> None:
    arguments = (ready.plc, ECHO_PORT, size, DATAGRAM)
    command = ["python3", "-c", UPLOAD, *map(str, arguments)]
    ready.technician.run(command, timeout_s=120, check=True)


@pytest.mark.both_kernels
async def test_a_full_size_upload_passes_an_uplink_of_1400_bytes(ready: Gates) -> None:
    narrowed = [(ready.bed.host("plant_nat"), WAN), (ready.bed.host("internet"), "plant")]
    try:
        for host, interface in narrowed:
            host.run(["ip", "link", "set", interface, "mtu", str(NARROW_MTU)], check=True)
        async with direct(ready):
            fragments = ready.bed.counter("internet", "ip frag-off & 0x3fff != 0")
            whole = ready.bed.counter("plc", f"ip saddr 192.168.1.1 udp length {DATAGRAM + 8}")
            await asyncio.to_thread(upload, ready, 1 << 20)
            assert (whole.packets, fragments.packets) == (1, 0)
    finally:
        for host, interface in narrowed:
            host.run(["ip", "link", "set", interface, "mtu", "1500"], check=True)


@contextmanager
def disturbed(ready: Gates) -> Iterator[None]:
    """Delay and lose what both uplinks send; lasts until both have lost something."""
    hosts = [ready.bed.host(name) for name in SIDES.values()]

    def lost(host: Host) -> bool:
        shown = host.run(["tc", "-s", "qdisc", "show", "dev", WAN], check=True).stdout
        found = re.search(r"dropped (\d+)", shown)
        return found is not None and int(found[1]) > 0

    for host in hosts:
        host.run(["tc", "qdisc", "add", "dev", WAN, "root", "netem", *NETEM], check=True)
    try:
        yield
        for host in hosts:
            until(partial(lost, host), 60, f"{host.name} to lose a packet")
    finally:
        for host in hosts:
            host.run(["tc", "qdisc", "del", "dev", WAN, "root"], check=True)


@pytest.mark.kernel
@pytest.mark.timeout(900)
async def test_through_delay_and_loss_flows_go_on_and_stay_confined(ready: Gates) -> None:
    streams = []

    def run() -> None:
        hmi = ready.bed.counter("hmi", "ip saddr 192.168.1.1")
        with disturbed(ready):
            for kind in ("tcp", "udp"):
                stream = ready.technician.tool("stream", kind, ready.plc, str(ECHO_PORT))
                streams.append(stream)
            for stream in streams:
                stream.wait_message("answer", timeout_s=25, where=lambda m: m["number"] >= ANSWERS)
            upload(ready, 1 << 17)
            assert not ready.answers(ready.hmi, 80)
        assert hmi.packets == 0
        assert not any(each["event"] == "ended" for each in streams[0].messages())

    try:
        async with direct(ready) as pair:
            (before,) = await pair.technician.measure()
            await asyncio.to_thread(run)
            (after,) = await pair.technician.measure()
            assert after.endpoint == before.endpoint
    finally:
        for stream in streams:
            stream.stop()
