"""Weekly windows on the plant's own clock, with nights, gaps and the days clocks change."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controld.maintenance import Weekday, Window, is_time_zone, open_until_ms

BERLIN = "Europe/Berlin"
WORKDAYS = tuple(Weekday)[:5]
OFFICE = Window(WORKDAYS, "08:00", "17:00")
NIGHT = Window((Weekday.SATURDAY,), "22:00", "06:00")


def at(text: str, zone: str = BERLIN) -> int:
    local = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(local.timestamp() * 1000)


@pytest.mark.parametrize(
    ("windows", "now", "until"),
    [
        ((OFFICE,), "2026-03-02T07:59", None),  # a Monday
        ((OFFICE,), "2026-03-02T08:00", "2026-03-02T17:00"),
        ((OFFICE,), "2026-03-02T16:59", "2026-03-02T17:00"),
        ((OFFICE,), "2026-03-02T17:00", None),
        ((OFFICE,), "2026-03-07T12:00", None),  # a Saturday
        ((NIGHT,), "2026-03-07T23:00", "2026-03-08T06:00"),
        ((NIGHT,), "2026-03-08T05:59", "2026-03-08T06:00"),
        ((NIGHT,), "2026-03-08T23:00", None),
        ((OFFICE, Window(WORKDAYS, "17:00", "20:00")), "2026-03-02T12:00", "2026-03-02T20:00"),
        # Clocks go forward at 02:00 on 29 March and back at 03:00 on 25 October 2026.
        ((NIGHT,), "2026-03-28T23:00", "2026-03-29T06:00"),
        ((NIGHT,), "2026-10-24T23:00", "2026-10-25T06:00"),
        ((), "2026-03-02T12:00", None),
    ],
)
def test_a_window_is_open_on_the_plants_clock(
    windows: tuple[Window, ...], now: str, until: str | None
) -> None:
    expected = at(until) if until is not None else None
    assert open_until_ms(windows, BERLIN, at(now)) == expected


def test_a_night_when_the_clocks_change_is_as_long_as_it_is() -> None:
    for evening, hours in (("2026-03-28T22:00", 7), ("2026-10-24T22:00", 9)):
        until = open_until_ms((NIGHT,), BERLIN, at(evening))
        assert until == at(evening) + hours * 3600_000


def test_the_same_moment_is_open_in_one_plant_and_shut_in_another() -> None:
    now = at("2026-03-02T09:00", BERLIN)
    assert open_until_ms((OFFICE,), BERLIN, now) is not None
    assert open_until_ms((OFFICE,), "America/Chicago", now) is None


@given(now=st.integers(0, 4_000_000_000_000), zone=st.sampled_from((BERLIN, "Asia/Kathmandu")))
def test_what_is_open_closes_later_and_always_open_windows_are(now: int, zone: str) -> None:
    until = open_until_ms((OFFICE, NIGHT), zone, now)
    assert until is None or until > now
    assert open_until_ms((Window(tuple(Weekday), "00:00", "00:00"),), zone, now) is not None


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "x" * 64])
def test_a_name_that_is_no_time_zone_is_none(name: str) -> None:
    assert not is_time_zone(name)
    assert is_time_zone(BERLIN)
