"""The page's one password: no default, argon2id, set at the first visit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import argon2
import msgspec

from ams.limits import Failures
from rclib.runtime.files import read_bounded, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

MIN_CHARACTERS: Final = 10
MAX_CHARACTERS: Final = 200
MAX_FILE_BYTES: Final = 64 * 1024


class Door:
    """Password and failed tries, both on disk."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password = directory / "password"
        self._tries = directory / "failures.json"
        self._hasher = argon2.PasswordHasher()

    @property
    def is_new(self) -> bool:
        """No password yet: whoever comes first, from inside the plant, sets it."""
        return not self._password.exists()

    def set_password(self, password: str) -> None:
        write_atomic(self._password, self._hasher.hash(password).encode())

    def wait_s(self, address: str) -> float:
        return self._failures().wait_s(address, time.time())

    def check(self, password: str, address: str) -> bool:
        """Compare, and count; call only while `wait_s` is 0. Blocks for the hash's time."""
        failures = self._failures()
        # Counted before the comparison: a crash in between must not make a try free.
        failures.failed(address, time.time())
        write_atomic(self._tries, msgspec.json.encode(failures))
        try:
            stored = read_bounded(self._password, MAX_FILE_BYTES).decode()
            self._hasher.verify(stored, password[:MAX_CHARACTERS])
        except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError, OSError):
            return False
        failures.succeeded(address)
        write_atomic(self._tries, msgspec.json.encode(failures))
        return True

    def forget_password(self) -> None:
        """For `ams reset-password`: physical access decides."""
        self._password.unlink(missing_ok=True)

    def _failures(self) -> Failures:
        try:
            return msgspec.json.decode(read_bounded(self._tries, MAX_FILE_BYTES), type=Failures)
        except (OSError, ValueError):
            return Failures()
