"""The clocks of every process: one that measures, one that dates, one that grants."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "linux":

    def boottime() -> float:
        """Seconds on a clock that nobody can set and that keeps running during suspend.

        Leases, deadlines and backoff are measured with it. The wall clock may be
        stepped by NTP, by an operator or by a flat RTC battery, and a lease must
        not become longer by that. CLOCK_MONOTONIC stands still while a machine is
        suspended, so a laptop lid would stretch a ten minute lease over a weekend.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def boottime() -> float:
        """Seconds on a clock that nobody can set.

        Where CLOCK_BOOTTIME does not exist, the monotonic clock is the nearest;
        the one of Windows counts suspended time as well.
        """
        return time.monotonic()


def wall_ms() -> int:
    """UTC as milliseconds since 1970: for dates people read and tokens carry, never for leases."""
    return time.time_ns() // 1_000_000


class ForwardClock:
    """UTC in milliseconds that follows the wall clock's steps forward and never goes back.

    For who grants something until a time of day and has to take it back then: a wall clock that
    is set back would lengthen it, one that is set forward only ends it early. Until the next start
    time goes on from where it was.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int] = wall_ms,
        boottime: Callable[[], float] = boottime,
    ) -> None:
        self._wall_ms = wall_ms
        self._boottime = boottime
        self._ahead_ms = float("-inf")

    def __call__(self) -> int:
        self.catch_up(self._wall_ms())
        return round(self._ahead_ms + self._boottime() * 1000)

    def catch_up(self, utc_ms: int) -> None:
        """Go on from here, if that is ahead of where this clock is."""
        self._ahead_ms = max(self._ahead_ms, utc_ms - self._boottime() * 1000)
