from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.backoff import FullJitter


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = FullJitter(0.5, 3)

    assert [backoff.next(1.0) for _ in range(5)] == [0.5, 1, 2, 3, 3]


def test_an_attempt_that_held_starts_over() -> None:
    backoff = FullJitter(0.5, 60)
    for _ in range(10):
        backoff.next(1.0)

    backoff.reset()

    assert backoff.next(1.0) == 0.5


def test_the_whole_range_down_to_zero_is_used() -> None:
    backoff = FullJitter(1, 60)

    assert backoff.next(0.0) == 0
    assert backoff.next(0.25) == 0.5


@given(
    base=st.floats(min_value=0.001, max_value=10),
    factor=st.floats(min_value=1, max_value=1000),
    draws=st.lists(st.floats(min_value=0, max_value=1), max_size=2000),
)
def test_no_delay_leaves_the_range_however_long_a_peer_stays_away(
    base: float, factor: float, draws: list[float]
) -> None:
    backoff = FullJitter(base, base * factor)

    assert all(0 <= backoff.next(draw) <= base * factor for draw in draws)


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_a_backoff_that_would_not_wait_is_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="0 < base <= cap"):
        FullJitter(base, cap)


@pytest.mark.parametrize("draw", [-0.1, 1.1, float("nan")])
def test_a_draw_outside_zero_to_one_is_refused(draw: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        FullJitter(1, 2).next(draw)
