"""Who is logged in on the page: pure; boot-clock time in, randomness from outside."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

IDLE_S: Final = 15 * 60
ABSOLUTE_S: Final = 8 * 3600
MAX_VISITS: Final = 64


@dataclass(slots=True)
class Visit:
    """One browser that has shown the password."""

    csrf: str
    began_at: float
    seen_at: float


class Visits:
    """In memory only: a restart logs everybody out."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}

    def begin(self, cookie: str, csrf: str, now: float) -> Visit:
        if len(self._visits) >= MAX_VISITS:
            oldest = min(self._visits, key=lambda each: self._visits[each].seen_at)
            del self._visits[oldest]
        visit = self._visits[cookie] = Visit(csrf, now, now)
        return visit

    def find(self, cookie: str, now: float) -> Visit | None:
        """The visit of this cookie, if it is still good; finding it keeps it awake."""
        visit = self._visits.get(cookie)
        if visit is None:
            return None
        if now >= visit.seen_at + IDLE_S or now >= visit.began_at + ABSOLUTE_S:
            del self._visits[cookie]
            return None
        visit.seen_at = now
        return visit

    def end(self, cookie: str) -> None:
        self._visits.pop(cookie, None)

    def end_all(self) -> None:
        self._visits.clear()


def is_token(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
