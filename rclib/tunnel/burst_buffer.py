"""DATA messages built where the packets are received: no object and no copy per packet.

Each packet is read behind the last one. It already stands where it belongs unless it starts the
next burst; only then is it moved, to the front. The result is what `bursts.join` makes of
the same packets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.wire.bursts import is_handshake
from rclib.wire.relay import DATA_HEADER_BYTES, MAX_SEGMENTS, data_header

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PACKET_BYTES: Final = 2048
"""Longest packet taken; a WireGuard packet on an interface of MTU 1420 has 1452 bytes."""
MAX_BURST_BYTES: Final = 16 * 1024 - 8
"""With its WebSocket header one TLS record: most of the gain of larger bursts, half the memory."""


class BurstBuffer:
    """Collects packets and hands complete messages to `emit`, which must copy what it keeps."""

    __slots__ = (
        "_bytes",
        "_count",
        "_emit",
        "_end",
        "_is_closed",
        "_max_bytes",
        "_segment",
        "_view",
    )

    def __init__(
        self, emit: Callable[[memoryview], object], max_bytes: int = MAX_BURST_BYTES
    ) -> None:
        if max_bytes < DATA_HEADER_BYTES + MAX_PACKET_BYTES:
            raise ValueError(f"a burst of {max_bytes} bytes cannot hold every packet")
        # Fixed after construction.
        self._emit = emit
        self._max_bytes = max_bytes
        self._bytes = bytearray(max_bytes + MAX_PACKET_BYTES + 1)
        self._view = memoryview(self._bytes)
        # Of the burst under way.
        self._end = DATA_HEADER_BYTES
        self._segment = self._count = 0
        self._is_closed = False

    @property
    def free(self) -> memoryview:
        """Where the next packet is to be written.

        It has room for more than MAX_PACKET_BYTES: a packet that fills more was too long.
        """
        return self._view[self._end :]

    def add(self, size: int) -> None:
        """A packet of 1 to MAX_PACKET_BYTES bytes stands at `free`."""
        start = self._end
        handshake = is_handshake(self._view[start : start + 1])
        if self._count and (
            self._is_closed
            or handshake
            or size > self._segment
            or self._count == MAX_SEGMENTS
            or start + size > self._max_bytes
        ):
            self.flush()
            first = self._end
            self._view[first : first + size] = self._view[start : start + size]
        if not self._count:
            self._segment = size
        self._is_closed = handshake or size < self._segment
        self._count += 1
        self._end += size

    def flush(self) -> None:
        """Emit what is there, if anything."""
        if not self._count:
            return
        end = self._end
        self._bytes[:DATA_HEADER_BYTES] = data_header(self._segment)
        self._end, self._count, self._is_closed = DATA_HEADER_BYTES, 0, False
        self._emit(self._view[:end])
