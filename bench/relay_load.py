"""A load generator for relays: prebuilt bytes through real TLS connections.

Each pair has a sending and a receiving connection. What is sent was framed before the clock
starts, in the relay's own format, so that the generator's work is encryption and little else. A
pair sends by `Window`, as TCP inside a tunnel does, or by `Pace`, as UDP does that heeds nobody.
"""

from __future__ import annotations

import select
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STALL_S: Final = 0.3
WARM_S: Final = 0.4
_READ_BYTES: Final = 256 * 1024
_SENDS_PER_TURN: Final = 4
_READS_PER_TURN: Final = 16
SOURCE_QUEUE_BYTES: Final = 256 * 1024
"""What waits at a paced source for its connection: about what an end of a tunnel lets wait."""


@dataclass(frozen=True)
class Window:
    """At most so many bytes under way; what stays away for longer than STALL_S counts as lost."""

    size: int


@dataclass(frozen=True)
class Pace:
    """So many bytes a second, come what may; beyond SOURCE_QUEUE_BYTES the source drops them."""

    bytes_per_s: float


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
    sending: Window | Pace
    read_bytes_per_s: float | None = None
    """What the receiver takes; None: all that comes."""
    _at: int = 0
    offered: float = 0.0
    """Payload bytes the source had, or handed to TLS where nothing paces it."""
    sent: float = 0.0
    """Of those, handed to TLS."""
    received: float = 0.0
    lost: float = 0.0
    """Given up by the window."""
    _waiting: float = 0.0
    _heard: float = field(default_factory=time.monotonic)
    _paced_at: float = field(default_factory=time.monotonic)
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for each in (self.sender, self.receiver):
            each.settimeout(0)
        self._view = memoryview(self.framed.chunk)
        self._per_sent = self.framed.payload_bytes / len(self.framed.chunk)
        self._per_received = self.framed.payload_bytes / self.framed.received_bytes

    def push(self, now: float) -> bool:
        """Send what source and connection allow; returns whether anything left."""
        if isinstance(self.sending, Pace):
            due = (now - self._paced_at) * self.sending.bytes_per_s
            self._paced_at = now
            self.offered += due
            self._waiting = min(self._waiting + due, SOURCE_QUEUE_BYTES)
        moved = False
        for _ in range(_SENDS_PER_TURN):
            if not self._may_send(now):
                break
            try:
                count = self.sender.send(self._view[self._at :])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            self._at = (self._at + count) % len(self.framed.chunk)
            payload = count * self._per_sent
            self.sent += payload
            if isinstance(self.sending, Pace):
                self._waiting -= payload
            else:
                self.offered += payload
            moved = True
        return moved

    def _may_send(self, now: float) -> bool:
        if isinstance(self.sending, Pace):
            left = len(self.framed.chunk) - self._at
            return self._waiting >= left * self._per_sent
        under_way = self.sent - self.received - self.lost
        if under_way < self.sending.size:
            return True
        if now - self._heard > STALL_S:
            self.lost += under_way
            self._heard = now
        return False

    def pull(self, into: bytearray, now: float) -> bool:
        """Take what has arrived; returns whether anything had."""
        moved = False
        for _ in range(_READS_PER_TURN):
            # Counted from the beginning: no turn is too short to take anything.
            limit = self.read_bytes_per_s
            if limit is not None and self.received > (now - self._began) * limit:
                break
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
    """What one run carried; all counted in payload."""

    gbit_per_s: float
    """Delivered."""
    gbit_per_cpu_s: float
    """Of the relay's processes."""
    relay_busy: float
    """CPU seconds of the relay per second."""
    lost: float
    """Share of what was sent that did not arrive."""
    offered_gbit_per_s: float
    dropped_at_source: float
    """Share of what was offered that was not even sent."""


def run(
    groups: Sequence[Sequence[Pair]],
    seconds: float,
    relay_cpu_s: Callable[[], float],
    warm_s: float = WARM_S,
) -> list[Load]:
    """Drive all pairs at once; returns one Load for each group, of the time after `warm_s`."""
    pairs = [pair for group in groups for pair in group]
    poller = select.poll()
    for pair in pairs:
        poller.register(pair.receiver, select.POLLIN)
    into = bytearray(_READ_BYTES)
    began, counted_from, cpu = time.monotonic(), 0.0, 0.0
    before: list[_Bytes] = []
    while True:
        now = time.monotonic()
        if not counted_from and now - began >= warm_s:
            counted_from, cpu = now, relay_cpu_s()
            before = [_so_far(group) for group in groups]
        if now - began >= warm_s + seconds:
            break
        moved = False
        for pair in pairs:
            moved |= pair.push(now)
            moved |= pair.pull(into, now)
        if not moved:
            poller.poll(1)
    elapsed = time.monotonic() - counted_from
    used = relay_cpu_s() - cpu
    return [
        _load(then, _so_far(group), elapsed, used)
        for then, group in zip(before, groups, strict=True)
    ]


class _Bytes(NamedTuple):
    offered: float
    sent: float
    received: float


def _so_far(group: Sequence[Pair]) -> _Bytes:
    return _Bytes(*(sum(getattr(p, name) for p in group) for name in _Bytes._fields))


def _load(then: _Bytes, now: _Bytes, elapsed: float, used: float) -> Load:
    offered, sent, received = (b - a for a, b in zip(then, now, strict=True))
    gbit = received * 8 / 1e9
    return Load(
        round(gbit / elapsed, 3),
        round(gbit / used, 3) if used else 0.0,
        round(used / elapsed, 3),
        round(max(0.0, 1 - received / sent), 4) if sent else 0.0,
        round(offered * 8 / 1e9 / elapsed, 3),
        round(max(0.0, 1 - sent / offered), 4) if offered else 0.0,
    )


def close(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        pair.sender.close()
        pair.receiver.close()
