from __future__ import annotations

import time

import pytest

from ams.strength import MAX_CHARACTERS, MIN_CHARACTERS, Strength, judge


@pytest.mark.parametrize(
    ("password", "strength"),
    [
        ("x" * (MIN_CHARACTERS - 1), Strength.TOO_SHORT),
        ("x" * (MAX_CHARACTERS + 1), Strength.TOO_LONG),
        ("passwort123", Strength.GUESSABLE),
        ("Maschine2026", Strength.GUESSABLE),
        ("qwertzuiop1", Strength.GUESSABLE),
        ("aaaaaaaaaaaaaaa", Strength.GUESSABLE),
        ("vier zufällige wörter", Strength.STRONG),
    ],
)
def test_a_password_is_judged_by_the_guesses_it_takes(password: str, strength: Strength) -> None:
    assert judge(password) is strength


def test_what_is_refused_is_what_somebody_would_guess() -> None:
    assert {each for each in Strength if each.is_accepted} == {Strength.FAIR, Strength.STRONG}


def test_the_longest_password_is_judged_without_a_long_wait() -> None:
    started = time.monotonic()
    judge("aB3$" * (MAX_CHARACTERS // 4))
    assert time.monotonic() - started < 5
