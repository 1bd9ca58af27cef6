"""The page's one password on disk: no default, argon2id, gone by `ams reset-password`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

from rclib.runtime.errors import FileTooLargeError
from rclib.runtime.files import read_bounded, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 4096
UNREADABLE: Final = "unreadable"
"""Generation of a file that is there and cannot be read: nobody gets in, nobody sets a new one."""


class PasswordFile:
    """Reads the file anew each time, so that a reset counts at once. Blocks: call in a thread."""

    def __init__(self, path: Path, cost: Parameters = RFC_9106_LOW_MEMORY) -> None:
        self._path = path
        self._hasher = PasswordHasher.from_parameters(cost)

    def generation(self) -> str | None:
        """Return a name of the present password, another after each change; None: not set."""
        try:
            stored = read_bounded(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, FileTooLargeError):
            return UNREADABLE
        return hashlib.sha256(stored).hexdigest()[:16]

    def set(self, password: str) -> None:
        """Raises OSError; then the password is what it was."""
        write_atomic(self._path, self._hasher.hash(password).encode())

    def matches(self, password: str) -> bool:
        try:
            stored = read_bounded(self._path, _MAX_BYTES).decode()
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError, OSError, ValueError):
            return False

    def remove(self) -> bool:
        """Forget the password; returns whether there was one. Raises OSError."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
