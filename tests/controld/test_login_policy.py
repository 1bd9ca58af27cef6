from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controld.login_policy import (
    FIRST_DELAY_MS,
    MAX_DELAY_MS,
    MAX_IN_WINDOW,
    WINDOW_MS,
    may_try_from_ms,
)


@given(st.lists(st.integers(0, 5 * 60 * 1000), max_size=60))
def test_no_ten_minutes_see_more_than_ten_attempts(pauses: list[int]) -> None:
    now, failures = 0, []
    for pause in pauses:
        now = max(now + pause, may_try_from_ms(failures))  # as impatient as it may be
        failures.append(now)
    for first in failures:
        assert sum(first <= at < first + WINDOW_MS for at in failures) <= MAX_IN_WINDOW


def test_each_further_failure_doubles_the_wait() -> None:
    failures = [number * WINDOW_MS for number in range(MAX_IN_WINDOW)]  # far apart
    waits = []
    for _ in range(10):
        allowed = may_try_from_ms(failures)
        waits.append(allowed - failures[-1])
        failures.append(allowed)
    assert waits[:3] == [FIRST_DELAY_MS, 2 * FIRST_DELAY_MS, 4 * FIRST_DELAY_MS]
    assert waits[-1] == MAX_DELAY_MS
    assert waits == sorted(waits)


def test_fewer_than_ten_failures_wait_for_nothing() -> None:
    assert may_try_from_ms([5] * (MAX_IN_WINDOW - 1)) == 0
