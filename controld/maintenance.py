"""When a plant allows remote maintenance: weekly windows in the plant's own time zone. Pure."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from rclib.wire.codec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ClockTime = Annotated[str, msgspec.Meta(pattern=r"\A(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z")]
"""HH:MM on the plant's clock."""
MAX_WINDOWS: Final = 28
_DAYS_AHEAD: Final = 8


class Weekday(StrEnum):
    """The day on which a window begins, numbered as `date.weekday` does."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class Window(Struct, frozen=True):
    """Open from `begin` to `end`; an end that is not later is on the next day."""

    days: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)]
    begin: ClockTime
    end: ClockTime


def is_time_zone(name: str) -> bool:
    """Whether this is a name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def open_until_ms(windows: Sequence[Window], time_zone: str, now_ms: int) -> int | None:
    """When the window that is open now closes (UTC milliseconds); None: none is open.

    Windows that meet or overlap count as one. Ask only where there are windows: none at all
    means that the plant restricts nothing.
    """
    zone = ZoneInfo(time_zone)
    today = dt.datetime.fromtimestamp(now_ms / 1000, zone).date()
    until = None
    for begin_ms, end_ms in sorted(_openings(windows, zone, today)):
        if begin_ms <= (now_ms if until is None else until) and end_ms > (until or now_ms):
            until = end_ms
    return until


def _openings(
    windows: Sequence[Window], zone: ZoneInfo, today: dt.date
) -> Iterator[tuple[int, int]]:
    """All openings that can matter today, from yesterday's on."""
    for ahead in range(-1, _DAYS_AHEAD):
        day = today + dt.timedelta(days=ahead)
        name = tuple(Weekday)[day.weekday()]
        for window in windows:
            if name in window.days:
                closes = day if window.end > window.begin else day + dt.timedelta(days=1)
                yield _at(day, window.begin, zone), _at(closes, window.end, zone)


def _at(day: dt.date, clock: str, zone: ZoneInfo) -> int:
    local = dt.datetime.combine(day, dt.time.fromisoformat(clock), zone)
    return int(local.timestamp() * 1000)
