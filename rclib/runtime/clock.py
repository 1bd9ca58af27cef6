"""The two clocks of every process: one that measures, one that dates."""

from __future__ import annotations

import sys
import time

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
