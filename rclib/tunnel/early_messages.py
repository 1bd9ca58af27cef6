"""Handshakes that came before their way was open, so that the first one is not lost.

WireGuard repeats a lost initiation after five seconds. Only the newest of each kind is kept: a
peer that takes a stale initiation first answers that one, and drops the one right behind it,
which alone is still waited for, as a flood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.tunnel.send_queue import is_first_class
from rclib.wire.relay import DATA_HEADER_BYTES, FrameType

if TYPE_CHECKING:
    from rclib.wire.relay import Readable

MAX_EARLY_BYTES: Final = 2048
"""A handshake is at most 148 bytes; a larger message is none, whatever its first byte says."""
EARLY_TTL_S: Final = 10.0
"""Two of WireGuard's handshake intervals: what is older has been given up by its sender."""


class EarlyMessages:
    """The newest initiation, response and cookie reply, as DATA messages."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, tuple[float, bytes]] = {}

    def keep(self, message: Readable, now: float) -> bool:
        """Keep a copy of a handshake in place of the last of its kind; False: it is none."""
        if (
            message[0] != FrameType.DATA
            or len(message) > MAX_EARLY_BYTES
            or not is_first_class(message)
        ):
            return False
        kind = message[DATA_HEADER_BYTES]
        self._kept.pop(kind, None)
        self._kept[kind] = now, bytes(message)
        return True

    def fresh(self, now: float) -> list[bytes]:
        """What is still worth sending, oldest first."""
        return [m for at, m in self._kept.values() if now - at < EARLY_TTL_S]

    def take(self, now: float) -> list[bytes]:
        """Hand out what is still worth sending, and forget everything."""
        fresh = self.fresh(now)
        self._kept.clear()
        return fresh

    def clear(self) -> None:
        self._kept.clear()
