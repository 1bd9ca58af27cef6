"""What waits for a connection that is too slow: bounded in bytes, oldest data dropped first.

Fresh packets are worth more than old ones, which WireGuard's users have sent again by then.
Handshakes and SIGNAL have a lane of their own, so that a full data lane cannot keep a session
from being renewed.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rclib.wire.bursts import is_handshake
from rclib.wire.relay import DATA_HEADER_BYTES, FrameType, Readable

FIRST_LANE_BYTES: Final = 16 * 1024


class SendQueue:
    """The two lanes of one connection."""

    __slots__ = ("_data", "_first")

    def __init__(self, max_bytes: int) -> None:
        self._first = _Lane(FIRST_LANE_BYTES)
        self._data = _Lane(max_bytes)

    def push(self, message: bytes) -> int:
        """Queue one message; returns how many older ones that pushed out of its lane."""
        return (self._first if is_first_class(message) else self._data).push(message)

    def pop(self) -> bytes | None:
        """The next message, handshakes and everything but DATA before data; None: empty."""
        return self._first.pop() or self._data.pop()

    def clear(self) -> int:
        """Forget everything; returns how many messages that were."""
        return self._first.clear() + self._data.clear()

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._first.size + self._data.size


def is_first_class(message: Readable) -> bool:
    """Whether a frame belongs to the lane that data cannot fill: all but DATA, and handshakes."""
    return message[0] != FrameType.DATA or is_handshake(memoryview(message)[DATA_HEADER_BYTES:])


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
        while self.size > self._max_bytes:
            self.size -= len(self._messages.popleft())
            dropped += 1
        return dropped

    def pop(self) -> bytes | None:
        if not self._messages:
            return None
        message = self._messages.popleft()
        self.size -= len(message)
        return message

    def clear(self) -> int:
        dropped = len(self._messages)
        self._messages.clear()
        self.size = 0
        return dropped
