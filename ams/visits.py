"""Who is logged in on the page. Pure: boot-clock time in, randomness from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

IDLE_S: Final = 15 * 60
ABSOLUTE_S: Final = 8 * 3600
MAX_VISITS: Final = 64


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence about what was just done, shown once."""

    key: str
    values: dict[str, object] = field(default_factory=dict)
    is_problem: bool = False


@dataclass(slots=True)
class Visit:
    """One browser that has shown the password."""

    csrf: str
    generation: str
    """The password it has shown: after a reset, the visit is over."""
    began_at: float
    seen_at: float
    notice: Notice | None = None


class Visits:
    """In memory only: a restart logs everybody out."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}

    def begin(self, cookie: str, csrf: str, generation: str, now: float) -> Visit:
        """Remember a login; beyond MAX_VISITS the one idle for longest is forgotten."""
        if len(self._visits) >= MAX_VISITS:
            del self._visits[min(self._visits, key=lambda each: self._visits[each].seen_at)]
        visit = self._visits[cookie] = Visit(csrf, generation, now, now)
        return visit

    def find(
        self, cookie: str, generation: str | None, now: float, *, keep_awake: bool = True
    ) -> Visit | None:
        """Return this cookie's visit, if it is still good.

        `keep_awake` False is for what the page asks by itself: a screen that nobody
        touches has to log out.
        """
        visit = self._visits.get(cookie)
        if visit is None:
            return None
        if (
            now >= visit.seen_at + IDLE_S
            or now >= visit.began_at + ABSOLUTE_S
            or visit.generation != generation
        ):
            del self._visits[cookie]
            return None
        if keep_awake:
            visit.seen_at = now
        return visit

    def end(self, cookie: str) -> None:
        self._visits.pop(cookie, None)
