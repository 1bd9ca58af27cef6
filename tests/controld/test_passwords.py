"""What a guess costs, and that nobody makes it too cheap."""

from __future__ import annotations

import msgspec
import pytest
from argon2.profiles import RFC_9106_LOW_MEMORY

from controld.config import PasswordsConfig
from controld.passwords import Passwords, cost_of


def test_the_default_is_the_second_choice_of_rfc_9106() -> None:
    assert cost_of(PasswordsConfig()) == RFC_9106_LOW_MEMORY


def test_a_hash_says_the_cost_that_was_configured() -> None:
    cost = cost_of(PasswordsConfig(memory_mib=7, passes=5, lanes=1))
    assert "$argon2id$v=19$m=7168,t=5,p=1$" in Passwords(cost).hash_now("a password")


@pytest.mark.parametrize(
    "given", [{"memory_mib": 8}, {"passes": 0}, {"memory_mib": 34, "passes": 1}]
)
def test_a_cost_at_which_guessing_is_cheap_is_refused(given: dict[str, int]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        msgspec.convert(given, PasswordsConfig)
