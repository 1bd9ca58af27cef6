"""What waits for a leg that reads too slowly: bounded in bytes, oldest data dropped first.

Handshakes and SIGNAL have a lane of their own, so that a full data lane cannot keep a session
from being renewed.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final

FIRST_LANE_BYTES: Final = 16 * 1024


class DropReason(StrEnum):
    """Why a message did not reach the other leg. Closed set; a counter each."""

    QUEUE_FULL = "queue_full"
    FIRST_LANE_FULL = "first_lane_full"
    NO_PARTNER = "no_partner"


class SendQueue:
    """The two lanes of one leg."""

    def __init__(self, max_bytes: int) -> None:
        self._first = _Lane(FIRST_LANE_BYTES)
        self._data = _Lane(max_bytes)

    def push(self, message: bytes, *, first_class: bool) -> int:
        """Queue one message; returns how many older ones it pushed out of its lane."""
        return (self._first if first_class else self._data).push(message)

    def pop(self) -> bytes | None:
        """The next message: handshakes and SIGNAL before data."""
        return self._first.pop() or self._data.pop()

    @property
    def size(self) -> int:
        return self._first.size + self._data.size


class _Lane:
    __slots__ = ("_max_bytes", "_messages", "size")

    def __init__(self, max_bytes: int) -> None:
        self._messages: deque[bytes] = deque()
        self._max_bytes = max_bytes
        self.size = 0

    def push(self, message: bytes) -> int:
        self._messages.append(message)
        self.size += len(message)
        dropped = 0
        while self.size > self._max_bytes and len(self._messages) > 1:
            self.size -= len(self._messages.popleft())
            dropped += 1
        return dropped

    def pop(self) -> bytes | None:
        if not self._messages:
            return None
        message = self._messages.popleft()
        self.size -= len(message)
        return message
