"""The bounds inside the control link's messages; the messages themselves are in `test_link`."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.control import remaining_s
from rclib.wire.session import Milliseconds


class TestRemaining:
    MOMENTS = st.integers(-(2**53), 2**53)

    @given(st.integers(1, 2**53), st.integers(0, 2**40))
    def test_what_is_left_is_the_distance_from_the_transmission(
        self, sent_ms: int, left_ms: int
    ) -> None:
        assert remaining_s(sent_ms + left_ms, sent_ms) == left_ms / 1000

    @given(MOMENTS, MOMENTS)
    def test_nothing_is_ever_left_of_what_is_past(self, until_ms: int, sent_ms: int) -> None:
        left = remaining_s(min(until_ms, sent_ms), max(until_ms, sent_ms))
        assert left == 0

    @given(MOMENTS, st.integers(-(2**53), 0))
    def test_a_bound_or_a_clock_that_says_nothing_grants_nothing(
        self, moment: int, nothing: int
    ) -> None:
        assert remaining_s(moment, nothing) == 0
        assert remaining_s(nothing, moment) == 0

    @given(st.integers(1, 2**52), st.integers(1, 2**52), st.integers(0, 2**40))
    def test_a_clock_that_is_wrong_by_years_changes_nothing(
        self, sent_ms: int, elsewhere_ms: int, left_ms: int
    ) -> None:
        assert remaining_s(sent_ms + left_ms, sent_ms) == remaining_s(
            elsewhere_ms + left_ms, elsewhere_ms
        )

    @given(st.integers().filter(lambda ms: not 0 <= ms <= 2**53))
    def test_a_moment_outside_all_calendars_does_not_arrive(self, moment: int) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(moment, Milliseconds)
