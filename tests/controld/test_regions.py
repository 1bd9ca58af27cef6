"""Which region the relays of a session are in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controld.regions import BETTER_MS, BETTER_SHARE, FRESH_S, choose
from rclib.wire.control import RegionRtt

NAMES = ("west", "east", "south")
regions = st.permutations(NAMES)
measurements = st.lists(
    st.builds(
        RegionRtt,
        region=st.sampled_from((*NAMES, "gone")),
        rtt_ms=st.floats(0, 1000),
        age_s=st.integers(0, 2 * int(FRESH_S)),
    ),
    max_size=6,
    unique_by=lambda each: each.region,
)
any_name = st.sampled_from(("", *NAMES, "gone"))


@given(regions, measurements, any_name, any_name)
def test_the_choice_is_always_one_of_the_configured(
    order: list[str], measured: list[RegionRtt], pinned: str, last: str
) -> None:
    assert choose(order, measured, pinned=pinned, last=last) in order


@given(regions, measurements, st.sampled_from(NAMES), any_name)
def test_a_pinned_region_is_taken_whatever_was_measured(
    order: list[str], measured: list[RegionRtt], pinned: str, last: str
) -> None:
    assert choose(order, measured, pinned=pinned, last=last) == pinned


@given(regions, measurements, any_name)
def test_without_a_fresh_measurement_the_first_is_taken(
    order: list[str], measured: list[RegionRtt], last: str
) -> None:
    stale = [RegionRtt(each.region, each.rtt_ms, int(FRESH_S) + 1) for each in measured]
    assert choose(order, stale, last=last) == order[0]


@given(regions, measurements)
def test_the_nearest_is_taken_for_a_first_session(
    order: list[str], measured: list[RegionRtt]
) -> None:
    near = [each for each in measured if each.region in order and each.age_s <= FRESH_S]
    if near:
        chosen = choose(order, measured)
        assert min(each.rtt_ms for each in near) == {e.region: e.rtt_ms for e in near}[chosen]


@given(regions, measurements, st.sampled_from(NAMES))
def test_a_change_is_made_only_for_a_clear_gain(
    order: list[str], measured: list[RegionRtt], last: str
) -> None:
    near = {e.region: e.rtt_ms for e in measured if e.region in order and e.age_s <= FRESH_S}
    chosen = choose(order, measured, last=last)
    if last in near and chosen != last:
        gain = near[last] - near[chosen]
        assert gain >= BETTER_MS
        assert gain >= BETTER_SHARE * near[last]


@given(regions, measurements, any_name)
def test_the_same_measurements_keep_what_they_chose(
    order: list[str], measured: list[RegionRtt], last: str
) -> None:
    chosen = choose(order, measured, last=last)
    assert choose(order, measured, last=chosen) == chosen
