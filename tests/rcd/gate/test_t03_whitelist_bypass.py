"""T3 whitelist-bypass: a hostile technician, who is bound by nothing but the gateway.

The client's WireGuard takes and sends every address (AllowedIPs 0.0.0.0/0 and ::/0), and packets
go into the tunnel past the client's own rules. An oracle that knows the grants says which of them
may be on the plant's LAN; witnesses there and at the technician's end of the tunnel say which are.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import pytest

from rclib.wire.gate import Allow
from rclib.wire.session import Protocol
from testbed.tools.hostile import (
    ACK,
    ECHO,
    ECHO6,
    GRE,
    ICMP,
    ICMP6,
    REDIRECT,
    SCTP,
    SYN,
    TCP,
    UDP,
    Packet,
    Tuple,
    decode,
    number_of,
)
from testbed.topology import BRIDGE
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    Gates = Any  # of conftest.py

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]

PLC, HMI, UNRELEASED, GATEWAY = (f"192.168.1.{n}" for n in (10, 20, 30, 1))
PLC6, GATEWAY6 = "fd00:1::10", "fd00:1::1"
WAN = "172.16.10.2"
OWN, OTHER = "100.64.1.2", "100.64.2.2"
OWN6 = "fdc4:9a1e:6b7d::6440:102"
GRANTS: Final = {(PLC, TCP, 502), (PLC, UDP, 7), (HMI, ICMP, ECHO), (PLC6, TCP, 502)}
ALL_PORTS: Final = {(HMI, TCP)}
MARKERS: Final = {*GRANTS, (HMI, TCP, 80)}
DEVICES: Final = (PLC, HMI, UNRELEASED, PLC6)
SOURCES: Final = (OWN, OWN, OWN, OWN, OTHER, GATEWAY, PLC, "100.64.1.1", "127.0.0.1", "8.8.8.8")
SOURCES6: Final = (OWN6, OWN6, OWN6, "fdc4:9a1e:6b7d::6440:202", PLC6, "::1", "2001:db8::1")
DESTINATIONS: Final = (
    *(PLC, HMI, UNRELEASED, "192.168.1.99", "192.168.1.0", "192.168.1.255", "255.255.255.255"),
    *(GATEWAY, WAN, "100.64.1.1", "100.64.2.1", OTHER, "127.0.0.1", "127.1.2.3", "0.0.0.0"),  # noqa: S104
    *("224.0.0.1", "239.1.1.1", "169.254.1.1", "172.16.10.1", "8.8.8.8"),
)
DESTINATIONS6: Final = (
    *(PLC6, GATEWAY6, "fd00:1::30", "fdc4:9a1e:6b7d::6440:101", "::1", "::ffff:192.168.1.10"),
    *("ff02::1", "ff05::2", "2001:db8::1"),
)
PORTS: Final = (502, 7, 80, 22, 4840, 8080, 1, 65535)


def may_arrive(packet: Packet) -> bool:
    """The oracle, in the words of the grants."""
    source, destination, protocol, port = packet.tuple
    if source not in {OWN, OWN6} or packet.fragment:
        return False
    return (destination, protocol, port) in GRANTS or (destination, protocol) in ALL_PORTS


def draw(rng: random.Random) -> Packet:
    """Draw near the grants: mistakes live at their edges."""
    is_v6 = rng.random() < 0.2
    if is_v6:
        source, destination = rng.choice(SOURCES6), rng.choice(DESTINATIONS6)
        protocol = rng.choice((TCP, TCP, UDP, ICMP6, GRE, SCTP, rng.randrange(256)))
    else:
        source, destination = rng.choice(SOURCES), rng.choice(DESTINATIONS)
        if rng.random() < 0.1:
            destination = str(ip_address(rng.getrandbits(32)))
        protocol = rng.choice((TCP, TCP, UDP, UDP, ICMP, GRE, SCTP, 50, 4, 41, rng.randrange(256)))
    if protocol in {ICMP, ICMP6}:
        port = rng.choice((ECHO, ECHO6, REDIRECT, 13, 17, 0, 137, rng.randrange(256)))
    else:
        port = rng.choice((*PORTS, rng.randrange(65536)))
    fragment = 0 if is_v6 or rng.random() < 0.85 else rng.choice((-1, 1, 185))
    return Packet(
        Tuple(source, destination, protocol, port),
        fragment,
        rng.choice((SYN, ACK, SYN | ACK, 4, 1, 0)),
        rng.randrange(1024, 65536),
    )


class Hostile:
    """A session held by somebody who does as they please."""

    def __init__(
        self, gates: Gates, inside: str, outside: str, released: set[tuple[str, int, int]]
    ) -> None:
        self._gates = gates
        self._markers = {Tuple(OWN6 if each[0] == PLC6 else OWN, *each) for each in released}
        self._inside, self._outside = inside, outside
        self._lan = gates.bed.host("plant_switch").tool("witness", BRIDGE)
        self._tunnel = gates.technician.tool("witness", outside)

    def send(self, sent: list[Packet]) -> None:
        """Send all of it, then wait until what is released has come through after it.

        On a busy machine the tunnel loses packets: these are sent until they are not lost.
        """
        self._transmit(sent)
        number = random.randrange(1024, 65536)  # noqa: S311 -- no secret
        missing = set(self._markers)

        def have_arrived() -> bool:
            self._transmit([Packet(each, number=number) for each in missing])
            seen = self._numbered(number)
            missing.difference_update([each for each in missing if each[1:] in seen])
            return not missing

        until(have_arrived, 20, "the released packets to arrive")

    def _transmit(self, packets: list[Packet]) -> None:
        path = self._gates.bed.directory / "storm"
        path.write_text("\n".join(each.encode().hex() for each in packets))
        sender = self._gates.technician.tool("hostile", self._outside, str(path))
        sender.wait_message("sent", timeout_s=120)
        sender.stop()

    def _numbered(self, number: int) -> set[tuple[str, int, int]]:
        """Where packets with this source port or echo identifier went on the plant's LAN."""
        packets = (bytes.fromhex(m["packet"]) for m in self._lan.messages() if m["event"] == "ip")
        return {decode(each)[1:] for each in packets if number_of(each) == number}

    def on_the_lan(self) -> set[Tuple]:
        """What the gateway sent to the plant."""
        seen = (m for m in self._lan.messages() if m["event"] == "ip")
        found = (decode(bytes.fromhex(m["packet"])) for m in seen)
        return {each for each in found if each.source not in DEVICES}

    def asked_for(self) -> set[str]:
        """Which addresses the gateway looked for."""
        asked = (bytes.fromhex(m["packet"]) for m in self._lan.messages() if m["event"] == "arp")
        return {str(ip_address(p[24:28])) for p in asked if str(ip_address(p[14:18])) == GATEWAY}

    def back(self) -> set[Tuple]:
        """What came back to the technician."""
        seen = (m for m in self._tunnel.messages() if m["event"] == "ip" and m["way"] == "in")
        return {decode(bytes.fromhex(m["packet"])) for m in seen}

    def arrived(self) -> int:
        """How many packets came out of the tunnel at the gateway."""
        shown = self._gates.gateway.run(
            ["ip", "-j", "-s", "link", "show", self._inside], check=True
        )
        return int(json.loads(shown.stdout)[0]["stats64"]["rx"]["packets"])

    def stop(self) -> None:
        self._lan.stop()
        self._tunnel.stop()


@contextmanager
def addresses_v6(ready: Gates) -> Iterator[bool]:
    """Give gateway and PLC IPv6 addresses where the kernel forwards IPv6 per interface."""
    ways = ((ready.gateway, "lan0", GATEWAY6), (ready.bed.host("plc"), "eth0", PLC6))
    path = "/proc/sys/net/ipv6/conf/lan0/force_forwarding"
    works = ready.gateway.run(["test", "-e", path]).returncode == 0
    for host, interface, address in ways:
        host.run(["sysctl", "-q", f"net.ipv6.conf.{interface}.disable_ipv6=0"], check=True)
        host.run(["ip", "addr", "add", f"{address}/64", "dev", interface, "nodad"], check=True)
    try:
        yield works
    finally:
        for host, interface, address in ways:
            host.run(["ip", "addr", "del", f"{address}/64", "dev", interface])


async def storm(ready: Gates, batches: int, size: int, seed: int) -> None:
    """Send drawn packets and compare what is seen with the oracle; counts to the one packet."""
    rng = random.Random(seed)  # noqa: S311 -- no secret
    with addresses_v6(ready) as has_v6:
        allow = [
            ready.modbus,
            Allow(PLC, Protocol.UDP, 7),
            Allow(HMI, Protocol.ICMP_ECHO),
            Allow(HMI, Protocol.TCP),
            *([Allow(PLC6, Protocol.TCP, 502)] if has_v6 else []),
        ]
        async with ready.controlled() as pair:
            inside, outside = await pair.open(allow, letter="a", number=1)
            await pair.open([Allow(UNRELEASED, Protocol.TCP, 80)], letter="b", number=2)
            shown = ready.technician.run(["wg", "show", outside.interface, "peers"], check=True)
            everything = ["allowed-ips", "0.0.0.0/0,::/0"]
            peer = ["wg", "set", outside.interface, "peer", shown.stdout.strip(), *everything]
            ready.technician.run(peer, check=True)
            released = {each for each in MARKERS if has_v6 or each[0] != PLC6}
            hostile = Hostile(ready, inside.interface, outside.interface, released)
            owned = 0
            try:
                async with pair.renewing("a", "b"):
                    # The handshake first: until it is made, the tunnel holds a few packets only.
                    await asyncio.to_thread(hostile.send, [])
                    for _ in range(batches):
                        sent = [draw(rng) for _ in range(size)]
                        owned += sum(each.tuple.source == OWN for each in sent)
                        released |= {each.tuple[1:] for each in sent if may_arrive(each)}
                        await asyncio.to_thread(hostile.send, sent)
                judge(hostile, released, owned, has_v6=has_v6, seed=seed)
            finally:
                hostile.stop()


def judge(
    hostile: Hostile,
    released: set[tuple[str, int, int]],
    owned: int,
    *,
    has_v6: bool,
    seed: int,
) -> None:
    expected = {each for each in released if has_v6 or each[0] != PLC6}
    # Neighbour discovery and multicast listening (RFC 4861, RFC 3810) are the hosts' own.
    lan = {
        each[1:]
        for each in hostile.on_the_lan()
        if each.protocol not in {ICMP6, 0} or (each.destination == PLC6 and each.port == ECHO6)
    }
    assert lan - expected == set(), f"seed {seed}"
    assert hostile.asked_for() <= {PLC, HMI}, f"seed {seed}"
    # Not in vain: `send` has seen each grant's packets arrive, and the rest reached the gateway.
    assert hostile.arrived() > 0.3 * owned
    answers = {(each.source, each.protocol) for each in hostile.back()}
    devices = {(device, protocol) for device, protocol, _ in expected}
    refusals = {(device, kind) for device, _ in devices for kind in (ICMP, ICMP6)}
    assert answers <= devices | refusals, f"seed {seed}"


@pytest.mark.both_kernels
async def test_no_packet_outside_the_grants_reaches_the_plant(ready: Gates) -> None:
    await storm(ready, batches=4, size=int(1_000 / SLOWNESS), seed=int.from_bytes(os.urandom(4)))


@pytest.mark.slow
async def test_a_hundred_thousand_packets_and_none_outside_the_grants(ready: Gates) -> None:
    await storm(ready, batches=20, size=5_000, seed=int.from_bytes(os.urandom(4)))
