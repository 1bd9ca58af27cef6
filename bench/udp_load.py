"""A generator in the place of both WireGuards: UDP into one end of a chain, out of the other."""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rclib.tunnel.burst_buffer import MAX_PACKET_BYTES

PACKET_BYTES: Final = 1452
BATCH: Final = 32
"""Packets the generator hands to the kernel in one call, so that it is not what is measured."""
WINDOW: Final = 256
"""Packets under way: the generator waits for the sink as TCP inside the tunnel would."""
STALL_S: Final = 0.05
UDP_SEGMENT: Final = 103


def wait_for_path(source: socket.socket, sink: socket.socket) -> None:
    """Send until packets come through and none is under way."""
    sink.settimeout(0.2)
    deadline = time.monotonic() + 20
    came = False
    while time.monotonic() < deadline:
        if not came:
            source.send(b"\x04 is the path there?")
        try:
            came = bool(sink.recv(MAX_PACKET_BYTES))
        except TimeoutError:
            if came:
                return
    raise SystemExit("no packet came through within 20 s")


def flood(source: socket.socket, sink: socket.socket, seconds: float) -> tuple[int, int, float]:
    """Keep WINDOW packets under way; returns packets sent, received, and the seconds."""
    batch = (b"\x04" + bytes(PACKET_BYTES - 1)) * BATCH
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", PACKET_BYTES))]
    buffer = bytearray(MAX_PACKET_BYTES)
    source.settimeout(0)
    sent = received = lost = 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        while sent - received - lost <= WINDOW - BATCH:
            source.sendmsg([batch], control)
            sent += BATCH
        sink.settimeout(STALL_S)
        try:
            sink.recv_into(buffer)
        except TimeoutError:
            lost = sent - received
            continue
        received += 1
        sink.settimeout(0)
        with suppress(BlockingIOError):
            for _ in range(BATCH):
                sink.recv_into(buffer)
                received += 1
    return sent, received, time.monotonic() - start


@dataclass(frozen=True)
class Poured:
    """Packets of one run that heeded nobody."""

    offered: int
    refused: int
    """Of these, what the source's own socket did not take."""
    arrived: int
    """While it ran."""
    late: int
    """Were under way when it ended."""
    seconds: float


def pour(
    source: socket.socket, sink: socket.socket, seconds: float, packets_per_s: float
) -> Poured:
    """Send at an even pace, whatever arrives."""
    batch = (b"\x04" + bytes(PACKET_BYTES - 1)) * BATCH
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", PACKET_BYTES))]
    buffer = bytearray(MAX_PACKET_BYTES)
    source.settimeout(0)
    sink.settimeout(0)
    offered = refused = arrived = 0
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        while offered < elapsed * packets_per_s:
            try:
                source.sendmsg([batch], control)
            except BlockingIOError:
                refused += BATCH
            offered += BATCH
            arrived += _take(sink, buffer)
        select.select([sink], [], [], 0.001)
        arrived += _take(sink, buffer)
    late = 0
    while select.select([sink], [], [], STALL_S)[0]:
        late += _take(sink, buffer)
    return Poured(offered, refused, arrived, late, elapsed)


def _take(sink: socket.socket, buffer: bytearray) -> int:
    """Read up to BATCH packets; returns how many there were."""
    for count in range(BATCH):
        try:
            sink.recv_into(buffer)
        except BlockingIOError:
            return count
    return BATCH
