"""A form that was refused: where on it the reason belongs, and with which status it comes back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from controld.api import STATUS
from controld.portal.frame import why

if TYPE_CHECKING:
    from http import HTTPStatus

    from controld.errors import DomainError
    from rclib.pages.language import Language

PLACES: Final = {
    "unknown_time_zone": "time_zone",
    "bad_time": "window",
    "window_empty": "window",
    "no_target": "targets",
    "service_not_offered": "targets",
    "user_disabled": "users",
    "duration_too_long": "duration_s",
    "last_administrator": "role",
}
"""Of refusals that are about one field, whichever form it is on."""
_FIELD: Final = re.compile(r"at `\$\.(\w+)(?:\[(\d+)\])?")
"""How msgspec names a field that does not fit."""


class Wrong(NamedTuple):
    """What to correct."""

    place: str
    """The field, with a number where there are several (windows-0); empty: the form as such."""
    sentence: str
    status: HTTPStatus


def wrong_of(language: Language, refused: DomainError, fields: frozenset[str]) -> Wrong:
    """Find the place among the form's `fields`."""
    status = STATUS[type(refused)]
    found = _FIELD.search(refused.detail) if refused.code == "bad_request" else None
    if found is None:
        place = PLACES.get(refused.code, "")
        return Wrong(place if place in fields else "", why(language, refused), status)
    field, number = found.groups()
    if field not in fields:
        return Wrong("", why(language, refused), status)
    sentence = language.name("wrong", field)
    if sentence == field:  # it has none of its own
        sentence = language.say("wrong_field")
    return Wrong(field if number is None else f"{field}-{number}", sentence, status)
