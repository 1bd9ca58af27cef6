from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.pages.language import LANGUAGES, UNITS, Language, choose

WORDS = {"greet": ("Hallo {who}", "Hello {who}"), "kind_a": ("ein A", "an A")}
GERMAN, ENGLISH = Language("de", WORDS), Language("en", WORDS)


def test_a_sentence_is_said_in_the_language_chosen() -> None:
    assert (GERMAN.say("greet", who="x"), ENGLISH.say("greet", who="x")) == ("Hallo x", "Hello x")
    assert all(len(each) == len(LANGUAGES) for each in UNITS.values())


def test_a_member_of_a_closed_set_that_has_no_name_keeps_its_value() -> None:
    assert (GERMAN.name("kind", "a"), GERMAN.name("kind", "new")) == ("ein A", "new")


@pytest.mark.parametrize(
    ("wanted", "remembered", "accepted", "chosen"),
    [
        ("de", "en", "en", "de"),
        ("", "de", "en", "de"),
        ("", "", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "", "fr,en;q=0.2,de;q=0.7", "de"),
        ("", "", "de;q=0,en", "en"),
        ("xx", "yy", "zz", "en"),
        ("", "", "de;q=rubbish", "en"),
    ],
)
def test_a_wish_counts_more_than_memory_and_memory_more_than_the_browser(
    wanted: str, remembered: str, accepted: str, chosen: str
) -> None:
    assert choose(WORDS, wanted, remembered, accepted).code == chosen


@given(st.text(max_size=200))
def test_whatever_a_browser_sends_gives_a_language(accepted: str) -> None:
    assert choose(WORDS, "", "", accepted).code in LANGUAGES


@pytest.mark.parametrize(
    ("count", "german", "english"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1500, "1,5 kB", "1.5 kB"),
        (2_000_000, "2,0 MB", "2.0 MB"),
        (1_234_500_000_000_000, "1.234,5 TB", "1,234.5 TB"),
    ],
)
def test_sizes_are_written_as_people_write_them(count: int, german: str, english: str) -> None:
    assert (GERMAN.size(count), ENGLISH.size(count)) == (german, english)


@pytest.mark.parametrize(
    ("number", "german", "english"),
    [(14.2, "14,2", "14.2"), (14.0, "14", "14"), (1234.56, "1.234,6", "1,234.6"), (0, "0", "0")],
)
def test_numbers_are_written_as_people_write_them(number: float, german: str, english: str) -> None:
    assert (GERMAN.number(number), ENGLISH.number(number)) == (german, english)


def test_a_minute_promised_is_a_minute_given() -> None:
    assert ENGLISH.span(1) == "1 min"
    assert ENGLISH.span(3600) == "1 h"
    assert ENGLISH.span(86400 + 61) == "1 day 2 min"
    assert GERMAN.span(0) == "0 min"


def test_a_time_of_another_day_carries_its_date() -> None:
    now = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp() * 1000)
    assert len(ENGLISH.clock(now, now)) == len("12:00")
    assert ENGLISH.clock(now - 3 * 86_400_000, now).startswith("2026-05-01 ")
    assert GERMAN.clock(now - 3 * 86_400_000, now).startswith("01.05.2026 ")
