from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ams.limits import HOUR_S, KNOWN_S, MAX_KNOWN, PER_ADDRESS, PER_ADDRESS_S, PER_HOUR, Limits


def after(limits: Limits, tries: int, address: str, now: float) -> Limits:
    for _ in range(tries):
        limits.tried(address, now)
    return limits


def test_five_tries_a_minute_and_then_a_wait() -> None:
    limits = after(Limits(), PER_ADDRESS - 1, "a", 100)
    assert limits.wait_s("a", 100) == 0
    limits.tried("a", 100)
    assert limits.wait_s("a", 100) == PER_ADDRESS_S
    assert limits.wait_s("b", 100) == 0
    assert limits.wait_s("a", 100 + PER_ADDRESS_S) == 0


def test_many_addresses_together_are_stopped_too() -> None:
    limits = Limits()
    for number in range(PER_HOUR):
        limits.tried(f"address{number}", 100)
    assert limits.wait_s("somebody else", 101) == HOUR_S - 1


def test_a_stranger_who_keeps_guessing_does_not_keep_the_owner_out() -> None:
    limits = Limits()
    limits.succeeded("owner", 0)
    for number in range(PER_HOUR):
        limits.tried(f"stranger{number}", 100)
    assert limits.wait_s("owner", 100) == 0
    assert limits.wait_s("stranger0", 100) > 0


def test_an_address_that_logged_in_long_ago_is_a_stranger_again() -> None:
    limits = Limits()
    limits.succeeded("owner", 0)
    for number in range(PER_HOUR):
        limits.tried(f"stranger{number}", KNOWN_S)
    assert limits.wait_s("owner", KNOWN_S) > 0


def test_only_a_few_addresses_are_known() -> None:
    limits = Limits()
    for number in range(MAX_KNOWN + 1):
        limits.succeeded(f"desk{number}", number)
    assert len(limits.dump(10, 0).known) == MAX_KNOWN
    assert "desk0" not in {past.address for past in limits.dump(10, 0).known}


def test_a_restart_makes_no_try_free() -> None:
    record = after(Limits(), PER_ADDRESS, "a", 1000).dump(1010, wall_ms=50_000)
    again = Limits()
    again.restore(record, now=5, wall_ms=60_000)
    assert again.wait_s("a", 5) == PER_ADDRESS_S - 20


def test_a_wall_clock_set_back_makes_no_try_free_either() -> None:
    record = after(Limits(), PER_ADDRESS, "a", 1000).dump(1000, wall_ms=50_000)
    again = Limits()
    again.restore(record, now=5, wall_ms=0)
    assert again.wait_s("a", 5) == PER_ADDRESS_S


@given(st.lists(st.tuples(st.floats(0, 10**6), st.sampled_from("abc")), max_size=60))
def test_nobody_is_kept_out_for_ever(tries: list[tuple[float, str]]) -> None:
    limits = Limits()
    for at, address in sorted(tries):
        limits.tried(address, at)
    assert limits.wait_s("a", 10**6 + HOUR_S) == 0


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=60))
def test_what_is_let_through_never_exceeds_the_allowance(times: list[int]) -> None:
    limits, passed = Limits(), []
    for now in sorted(times):
        if limits.wait_s("a", now) == 0:
            limits.tried("a", now)
            passed.append(now)
    for now in passed:
        assert sum(now - PER_ADDRESS_S < at <= now for at in passed) <= PER_ADDRESS
