from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ams.limits import PER_ADDRESS, PER_ADDRESS_S, TOTAL, Failures
from ams.visits import ABSOLUTE_S, IDLE_S, Visits
from ams.words import LANGUAGES, WORDS


def test_five_tries_a_minute_and_then_a_wait() -> None:
    failures = Failures()
    for _ in range(PER_ADDRESS):
        assert failures.wait_s("a", 100) == 0
        failures.failed("a", 100)
    assert failures.wait_s("a", 100) == PER_ADDRESS_S
    assert failures.wait_s("b", 100) == 0
    assert failures.wait_s("a", 100 + PER_ADDRESS_S) == 0


def test_many_addresses_together_are_stopped_too() -> None:
    failures = Failures()
    for number in range(TOTAL):
        failures.failed(f"address{number}", 100)
    assert failures.wait_s("somebody else", 101) > 0


@given(st.lists(st.tuples(st.floats(0, 10**6), st.sampled_from("abc")), max_size=60))
def test_nobody_is_kept_out_for_ever(tries: list[tuple[float, str]]) -> None:
    failures = Failures()
    for at, address in tries:
        failures.failed(address, at)
    assert failures.wait_s("a", 10**6 + 3601) == 0


def test_a_visit_ends_when_nobody_is_there_and_at_the_end_of_a_shift() -> None:
    visits = Visits()
    visits.begin("cookie", "csrf", 0)
    assert visits.find("cookie", IDLE_S - 1)
    assert visits.find("cookie", 2 * IDLE_S - 1) is None
    visits.begin("cookie", "csrf", 0)
    now = 0.0
    while now < ABSOLUTE_S - IDLE_S:
        now += IDLE_S / 2
        assert visits.find("cookie", now)
    assert visits.find("cookie", ABSOLUTE_S) is None


def test_every_sentence_is_there_in_every_language_with_the_same_gaps() -> None:
    for key, texts in WORDS.items():
        assert len(texts) == len(LANGUAGES), key
        assert all(texts), key
        gaps = [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in texts]
        assert all(each == gaps[0] for each in gaps), key
