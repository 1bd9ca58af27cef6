"""How long to leave a leg unread that sends faster than it may. Pure.

Not reading is the mildest limit: TCP slows the sender down, and nothing is dropped.
"""

from __future__ import annotations

from typing import Final

BURST_S: Final = 0.25
"""What a leg may send at once, as time at its rate; never less than one message."""


class ReceiveRate:
    """A token bucket that may go into debt, which is paid by waiting."""

    __slots__ = ("_allowance", "_burst", "_rate", "_refilled_at")

    def __init__(self, bytes_per_s: int, largest_message: int, now: float) -> None:
        self._rate = bytes_per_s
        self._burst = max(bytes_per_s * BURST_S, largest_message)
        self._allowance = self._burst
        self._refilled_at = now

    def took(self, size: int, now: float) -> float:
        """Account for bytes that were read; returns for how many seconds not to read on."""
        refilled = self._allowance + (now - self._refilled_at) * self._rate
        self._allowance = min(self._burst, refilled) - size
        self._refilled_at = now
        return max(0.0, -self._allowance / self._rate)
