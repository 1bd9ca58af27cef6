from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import pytest

from rclib.runtime.clock import boottime, wall_ms


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
