"""Passwords: argon2id, off the loop, and never more of it at once than the machine can bear."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

if TYPE_CHECKING:
    from controld.config import PasswordsConfig

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
_AT_ONCE: Final = 2
"""Each check takes its memory; who floods the login waits here instead of exhausting memory."""


def cost_of(config: PasswordsConfig) -> Parameters:
    return replace(
        RFC_9106_LOW_MEMORY,
        memory_cost=config.memory_mib * 1024,
        time_cost=config.passes,
        parallelism=config.lanes,
    )


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, cost: Parameters = RFC_9106_LOW_MEMORY) -> None:
        self._hasher = PasswordHasher.from_parameters(cost)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one; without a stored one, false after equal work."""
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this password")
        async with self._turns:
            matched = await asyncio.to_thread(self._verify, stored or self._nobody, password)
        return matched and stored is not None

    def hash_now(self, password: str) -> str:
        """Like `hash`, for command lines that have no loop."""
        return self._hasher.hash(password)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False


def complaint(password: str, *, user_name: str) -> str | None:
    """Say what is wrong with a new password, or None."""
    if len(password) < MIN_LENGTH:
        return f"a password has at least {MIN_LENGTH} characters; a sentence is easy to remember"
    if len(password) > MAX_LENGTH:
        return f"a password has at most {MAX_LENGTH} characters"
    if user_name.casefold() in password.casefold():
        return "the password contains the user name; choose one that does not"
    return None
