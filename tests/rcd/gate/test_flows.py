"""The flow record: readings become totals; a capture at the machine says the same."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcd.gate.flows import KEPT, MAX_DESTINATIONS, FlowBook
from rclib.tunnel.gate_client import GateRefused
from rclib.tunnel.gate_nft import Count
from rclib.tunnel.gate_plan import plan_tunnel
from rclib.wire.gate import MAX_REFUSED, Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol
from testbed.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from rcd.gate.flows import Counts
    from rclib.tunnel.gate_plan import TunnelPlan
    from rclib.wire.gate import DeviceFlow, Flows

    Gates = Any  # of conftest.py

PLC = "192.168.1.10"
SESSION = SessionId("ses_aaaaaaaaaaaaaaaa")


def plan_of(session: SessionId = SESSION) -> TunnelPlan:
    allow = (Allow(PLC, Protocol.TCP, 502), Allow("fd00:1::10", Protocol.TCP, 502))
    return plan_tunnel(
        "rcg", Open(session, TunnelKey(bytes(32)), "100.64.9.1", "100.64.9.2", 9, allow, 1280)
    )


def reading(to: int, from_: int = 0, refused: dict[str, int] | None = None) -> Counts:
    interface = plan_of().interface
    found = refused or {}
    return {
        "to_device4": {f"{interface} . {PLC}": Count(to, to * 100)},
        "from_device4": {f"{interface} . {PLC}": Count(from_, from_ * 200)},
        "refusals": {interface: Count(sum(found.values()), 0)},
        "refused_ports4": {f"{interface} . {place}": Count(n, 0) for place, n in found.items()},
    }


def device(flows: Flows, address: str = PLC) -> DeviceFlow:
    (found,) = (each for each in flows.devices if each.address == address)
    return found


def test_first_and_last_packet_are_as_old_as_the_readings_that_saw_them() -> None:
    book = FlowBook()
    book.opened(plan_of())
    for now, to in ((10.0, 0), (11.0, 3), (12.0, 3), (13.0, 5), (14.0, 5)):
        book.note([plan_of()], reading(to, 1 if to else 0), now)
    found = device(book.flows(SESSION, 20.0))
    assert (found.to_packets, found.to_bytes) == (5, 500)
    assert (found.from_packets, found.from_bytes) == (1, 200)
    assert (found.first_age_s, found.last_age_s) == (9.0, 7.0)
    unused = device(book.flows(SESSION, 20.0), "fd00:1::10")
    assert (unused.to_packets, unused.first_age_s, unused.last_age_s) == (0, None, None)


@given(st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=6))
def test_totals_survive_a_counter_that_begins_anew(lives: list[list[int]]) -> None:
    """Each life is what a counter gained between readings; after it the kernel has forgotten."""
    book = FlowBook()
    book.opened(plan_of())
    place = "192.168.1.99 . 6 . 22"
    for life in lives:
        count = 1  # what began anew counts less than what it was
        book.note([plan_of()], reading(0, 0, {place: count}), 1.0)
        for gained in life:
            count += gained
            book.note([plan_of()], reading(0, 0, {place: count}), 1.0)
        book.note([plan_of()], reading(0, 0, {place: 0}), 1.0)
    flows = book.flows(SESSION, 2.0)
    expected = sum(1 + sum(life) for life in lives)
    assert sum(each.packets for each in flows.refused) == expected
    assert flows.refused_packets == expected


def test_a_scan_is_counted_whole_and_named_in_part() -> None:
    book = FlowBook()
    book.opened(plan_of())
    scanned = {f"10.0.{n // 256}.{n % 256} . 17 . {n}": n + 1 for n in range(MAX_DESTINATIONS + 9)}
    book.note([plan_of()], reading(0, 0, scanned), 1.0)
    flows = book.flows(SESSION, 1.0)
    assert flows.refused_packets == sum(scanned.values())
    assert len(flows.refused) == MAX_REFUSED
    assert flows.refused[0].packets == MAX_DESTINATIONS, "the destinations most was going to"
    assert (flows.refused[0].protocol, flows.refused[0].port) == (17, MAX_DESTINATIONS - 1)


def test_totals_outlive_their_session_but_not_for_ever() -> None:
    book = FlowBook()
    book.opened(plan_of())
    book.note([plan_of()], reading(7), 1.0)
    for number in range(KEPT - 1):
        book.opened(plan_of(SessionId(f"ses_{number:016d}")))
    assert device(book.flows(SESSION, 1.0)).to_packets == 7
    book.opened(plan_of(SessionId("ses_zzzzzzzzzzzzzzzz")))
    with pytest.raises(KeyError):
        book.flows(SESSION, 1.0)


WATCHED = "ip and (port 4840 or port 7 or icmp)"
TRANSFER = """
import socket, sys
s = socket.create_connection((sys.argv[1], 4840), 5)
s.settimeout(20)
for _ in range(40):
    s.sendall(bytes(8192))
    left = 8192
    while left:
        left -= len(s.recv(left))
"""


def captured(path: Path) -> tuple[list[int], list[int]]:
    """Read a capture; returns the lengths of IPv4 packets to and from the machine."""
    data, at = path.read_bytes(), 24
    to: list[int] = []
    from_: list[int] = []
    while at < len(data):
        (size,) = struct.unpack_from("=I", data, at + 8)
        packet = data[at + 16 + 14 : at + 16 + size]
        (length,) = struct.unpack_from("!H", packet, 2)
        sink = to if str(ip_address(packet[16:20])) == PLC else from_
        sink.append(length)
        at += 16 + size
    return to, from_


@pytest.mark.netns
async def test_totals_agree_with_a_capture_at_the_machine_within_one_percent(
    ready: Gates, tmp_path: Path
) -> None:
    plc, path = ready.bed.host("plc"), tmp_path / "capture"
    capture = plc.popen(
        [
            "tcpdump",
            "-i",
            "eth0",
            "--immediate-mode",
            "-s",
            "64",
            "-U",
            "-Z",
            "root",
            "-w",
            str(path),
            WATCHED,
        ],
        name="capture",
    )
    until(lambda: "listening on" in capture.log.read_text(), 10.0, "the capture")
    async with ready.controlled() as pair:
        await pair.open([ready.echo_tcp, ready.echo_udp, ready.ping])
        await asyncio.to_thread(ready.technician.run, ["python3", "-c", TRANSFER, PLC], check=True)
        for _ in range(3):
            assert await asyncio.to_thread(ready.answers, PLC, 7, family="udp")
        assert await asyncio.to_thread(ready.pings, PLC)
        await pair.gateway.close(ready.session("a"))
        flows = device(await pair.gateway.flows(ready.session("a")))
    capture.stop()
    to, from_ = captured(path)
    assert sum(to) > 320_000
    assert sum(from_) > 320_000
    assert flows.to_bytes == pytest.approx(sum(to), rel=0.01)
    assert flows.from_bytes == pytest.approx(sum(from_), rel=0.01)
    assert flows.to_packets == pytest.approx(len(to), rel=0.01)
    assert flows.from_packets == pytest.approx(len(from_), rel=0.01)
    assert flows.first_age_s is not None
    assert flows.last_age_s is not None
    assert flows.first_age_s >= flows.last_age_s


@pytest.mark.netns
async def test_refused_packets_are_on_record_by_destination(ready: Gates) -> None:
    async with ready.controlled() as pair:
        wide = [ready.echo_tcp, Allow(ready.unreleased, Protocol.TCP, 80)]
        await pair.open([ready.echo_tcp], technician_allow=wide)
        session = ready.session("a")
        for _ in range(2):
            assert not await asyncio.to_thread(ready.answers, ready.unreleased, 80)
        assert not await asyncio.to_thread(ready.answers, PLC, 502)
        assert not await asyncio.to_thread(ready.pings, PLC)
        await pair.gateway.close(session)
        flows = await pair.gateway.flows(session)
    refused = {(each.address, each.protocol, each.port): each.packets for each in flows.refused}
    assert refused.keys() >= {(ready.unreleased, 6, 80)}
    assert refused[ready.unreleased, 6, 80] >= 2
    assert flows.refused_packets == sum(refused.values())


@pytest.mark.netns
async def test_a_session_nobody_opened_has_no_totals(ready: Gates) -> None:
    async with ready.controlled() as pair:
        with pytest.raises(GateRefused, match="was not open here"):
            await pair.gateway.flows(ready.session("q"))
