"""Which language, and how it writes sentences, numbers and times. Pure but for the time zone."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from babel.numbers import format_decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Words = Mapping[str, tuple[str, str]]
    """Sentences by key, in the order of LANGUAGES."""

LANGUAGES: Final = ("de", "en")
_DEFAULT: Final = "en"
_MAX_ACCEPTED: Final = 16
_STEP: Final = 1000
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


UNITS: Final[dict[str, tuple[str, str]]] = {
    "day": ("Tag", "day"),
    "days": ("Tage", "days"),
    "hour": ("h", "h"),
    "minute": ("min", "min"),
    "second": ("s", "s"),
}


class Language:
    """One language of a page."""

    def __init__(self, code: str, words: Words) -> None:
        self.code = code
        self._words = words
        self._column = LANGUAGES.index(code)

    @property
    def other(self) -> str:
        """The code of the one to offer as a link."""
        return LANGUAGES[1 - self._column]

    def say(self, key: str, **values: object) -> str:
        """Return the sentence of this key; raises KeyError where key or value is missing."""
        return self._words[key][self._column].format(**values)

    def name(self, kind: str, value: str) -> str:
        """What a member of a closed set is called here; one without a name keeps its value."""
        texts = self._words.get(f"{kind}_{value}")
        return texts[self._column] if texts is not None else value

    def number(self, value: float, pattern: str = "#,##0.#") -> str:
        """Write it with this language's decimal and group signs; the pattern is CLDR's."""
        return format_decimal(value, pattern, locale=self.code)

    def size(self, count: int) -> str:
        """Bytes in decimal units, as routers and mobile tariffs count."""
        if count < _STEP:
            return f"{count} B"
        value, unit = float(count), "B"
        for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - the last one tried names the value
            value /= _STEP
            if value < _STEP:
                break
        return f"{self.number(value, '#,##0.0')} {unit}"

    def span(self, seconds: float) -> str:
        """A duration to the minute, rounded up: a minute promised is a minute given."""
        minutes = -int(-max(0.0, seconds) // _MINUTE_S)
        days, minutes = divmod(minutes, _DAY_S // _MINUTE_S)
        hours, minutes = divmod(minutes, _HOUR_S // _MINUTE_S)
        parts = (
            (days, self._unit("day" if days == 1 else "days")),
            (hours, self._unit("hour")),
            (minutes, self._unit("minute")),
        )
        shown = [f"{number} {unit}" for number, unit in parts if number]
        return " ".join(shown) or f"0 {self._unit('minute')}"

    def wait(self, seconds: float) -> str:
        """A short wait to the second, a long one to the minute, both rounded up."""
        if seconds > 2 * _MINUTE_S:
            return self.span(seconds)
        return f"{-int(-seconds // 1)} {self._unit('second')}"

    def clock(self, at_ms: int, now_ms: int, *, seconds: bool = False) -> str:
        """The gateway's local time, with the date unless it is today's."""
        at, now = (dt.datetime.fromtimestamp(ms / 1000).astimezone() for ms in (at_ms, now_ms))
        time = at.strftime("%H:%M:%S" if seconds else "%H:%M")
        if at.date() == now.date():
            return time
        date = at.strftime("%d.%m.%Y" if self.code == "de" else "%Y-%m-%d")
        return f"{date} {time}"

    def _unit(self, unit: str) -> str:
        return UNITS[unit][self._column]


def choose(words: Words, wanted: str, remembered: str, accepted: str) -> Language:
    """An explicit wish, else the remembered one, else the first the browser names that we have."""
    candidates = (wanted, remembered, *_preferences(accepted))
    return Language(next((each for each in candidates if each in LANGUAGES), _DEFAULT), words)


def _preferences(accepted: str) -> Iterable[str]:
    """Primary language tags of an Accept-Language field, best first (RFC 9110 section 12.5.4)."""
    weighted: list[tuple[float, str]] = []
    for item in accepted.split(",")[:_MAX_ACCEPTED]:
        tag, _, parameter = item.partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            quality = float(weight) if name == "q" else 1.0
        except ValueError:
            continue
        if quality > 0:
            weighted.append((quality, tag.strip().partition("-")[0].lower()))
    return [tag for _, tag in sorted(weighted, key=lambda each: -each[0])]
