from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import pytest

from rclib.runtime.clock import ForwardClock, boottime, wall_ms


def test_boottime_does_not_run_backwards() -> None:
    readings = [boottime() for _ in range(1000)]

    assert sorted(readings) == readings


@pytest.mark.skipif(sys.platform != "linux", reason="CLOCK_BOOTTIME is Linux")
def test_boottime_counts_the_time_a_machine_was_suspended() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = boottime()
    after = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= now <= after


def test_the_wall_clock_is_utc_in_milliseconds() -> None:
    before = datetime.now(UTC).timestamp() * 1000
    now = wall_ms()

    assert -1 <= now - before < 1000


class TestForwardClock:
    def test_steps_forward_are_followed_and_steps_back_are_not(self) -> None:
        wall, boot = [1_000_000], [10.0]
        clock = ForwardClock(lambda: wall[0], lambda: boot[0])
        assert clock() == 1_000_000
        wall[0], boot[0] = 900_000, 11.0
        assert clock() == 1_001_000
        wall[0], boot[0] = 2_000_000, 12.0
        assert clock() == 2_000_000
        wall[0], boot[0] = 0, 13.5
        assert clock() == 2_001_500

    def test_undisturbed_it_is_the_wall_clock(self) -> None:
        clock = ForwardClock()
        clock()
        assert abs(clock() - wall_ms()) < 1000
