"""How good a new password is, in the few words a person can act on. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from zxcvbn import zxcvbn

MIN_CHARACTERS: Final = 10
MAX_CHARACTERS: Final = 200
_JUDGED_CHARACTERS: Final = 72
"""The estimate's cost grows faster than the length; what is longer is strong or repetitive."""
_GUESSED_FIRST: Final = [
    *("passwort", "kennwort", "remoteconnect", "gateway", "maschine", "machine", "administrator"),
    *("willkommen", "geheim", "fernwartung", "fernzugriff", "siemens", "simatic", "anlage"),
]
"""What the library's English word lists lack and people take for a gateway."""
_FAIR_SCORE: Final = 3
_STRONG_SCORE: Final = 4


class Strength(StrEnum):
    """The first three are refused."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    GUESSABLE = "guessable"
    FAIR = "fair"
    STRONG = "strong"

    @property
    def is_accepted(self) -> bool:
        return self in {Strength.FAIR, Strength.STRONG}


def judge(password: str) -> Strength:
    """Judge a password by the number of guesses it would take."""
    if len(password) < MIN_CHARACTERS:
        return Strength.TOO_SHORT
    if len(password) > MAX_CHARACTERS:
        return Strength.TOO_LONG
    score = zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=list(_GUESSED_FIRST))["score"]
    if score < _FAIR_SCORE:
        return Strength.GUESSABLE
    return Strength.STRONG if score >= _STRONG_SCORE else Strength.FAIR
