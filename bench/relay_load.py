"""A load generator for relays: prebuilt bytes through real TLS connections, a window per pair.

Each pair has a sending and a receiving connection. What is sent was framed before the clock
starts, in the relay's own format, so that the generator's work is encryption and little else. A
pair keeps at most a window of bytes under way, as the TCP inside a tunnel would; what stays away
for longer than STALL_S counts as lost. `window` None sends as much as the relay takes: overload.
"""

from __future__ import annotations

import select
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STALL_S: Final = 0.3
WARM_S: Final = 0.4
_READ_BYTES: Final = 256 * 1024
_SENDS_PER_TURN: Final = 4
_READS_PER_TURN: Final = 16


@dataclass(frozen=True)
class Framed:
    """What one pair sends again and again, and what it becomes on the other side."""

    chunk: bytes
    """Whole messages in the relay's format."""
    payload_bytes: int
    """Of the packets in a chunk."""
    received_bytes: int
    """What the receiving connection gets for a chunk."""


@dataclass
class Pair:
    """Two connections of one channel, both admitted and ready."""

    sender: ssl.SSLSocket
    receiver: ssl.SSLSocket
    framed: Framed
    _at: int = 0
    sent: float = 0.0
    """Payload bytes handed to TLS."""
    received: float = 0.0
    lost: float = 0.0
    _heard: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for each in (self.sender, self.receiver):
            each.settimeout(0)
        self._view = memoryview(self.framed.chunk)
        self._per_sent = self.framed.payload_bytes / len(self.framed.chunk)
        self._per_received = self.framed.payload_bytes / self.framed.received_bytes

    def push(self, window: int | None, now: float) -> bool:
        """Send what the window and the connection allow; returns whether anything left."""
        moved = False
        for _ in range(_SENDS_PER_TURN):
            under_way = self.sent - self.received - self.lost
            if window is not None and under_way >= window:
                if now - self._heard > STALL_S:
                    self.lost += under_way
                    self._heard = now
                break
            try:
                count = self.sender.send(self._view[self._at :])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            self._at = (self._at + count) % len(self.framed.chunk)
            self.sent += count * self._per_sent
            moved = True
        return moved

    def pull(self, into: bytearray, now: float) -> bool:
        """Take what has arrived; returns whether anything had."""
        moved = False
        for _ in range(_READS_PER_TURN):
            try:
                count = self.receiver.recv_into(into)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            if count == 0:
                raise ConnectionError("the relay closed the receiving connection")
            self.received += count * self._per_received
            self._heard = now
            moved = True
        return moved


@dataclass(frozen=True)
class Load:
    """What one run carried."""

    gbit_per_s: float
    gbit_per_cpu_s: float
    """Of the relay's processes."""
    relay_busy: float
    """CPU seconds of the relay per second."""
    lost: float
    """Share of the payload that did not arrive."""


def run(
    pairs: Sequence[Pair], seconds: float, window: int | None, relay_cpu_s: Callable[[], float]
) -> Load:
    """Drive the pairs; the figures are of the time after WARM_S."""
    poller = select.poll()
    for pair in pairs:
        poller.register(pair.receiver, select.POLLIN)
    into = bytearray(_READ_BYTES)
    began, counted_from = time.monotonic(), 0.0
    received = cpu = sent = 0.0
    while True:
        now = time.monotonic()
        if not counted_from and now - began >= WARM_S:
            counted_from, cpu = now, relay_cpu_s()
            received = sum(pair.received for pair in pairs)
            sent = sum(pair.sent for pair in pairs)
        if now - began >= WARM_S + seconds:
            break
        moved = False
        for pair in pairs:
            moved |= pair.push(window, now)
            moved |= pair.pull(into, now)
        if not moved:
            poller.poll(1)
    elapsed = time.monotonic() - counted_from
    used = relay_cpu_s() - cpu
    gbit = (sum(pair.received for pair in pairs) - received) * 8 / 1e9
    offered = (sum(pair.sent for pair in pairs) - sent) * 8 / 1e9
    return Load(
        round(gbit / elapsed, 3),
        round(gbit / used, 3) if used else 0.0,
        round(used / elapsed, 3),
        round(max(0.0, 1 - gbit / offered), 4) if offered else 0.0,
    )


def close(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        pair.sender.close()
        pair.receiver.close()
