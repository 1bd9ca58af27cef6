"""The way in: one password, tries counted on disk, one check at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from ams.limits import Limits, Record
from ams.passwords import PasswordFile
from ams.strength import MAX_CHARACTERS
from rclib.runtime.clock import boottime, wall_ms
from rclib.runtime.errors import FileTooLargeError, StartError
from rclib.runtime.files import read_bounded, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from rclib.runtime.logs import Logger

TRIES_UNREADABLE: Final = "tries_unreadable"
TRIES_NOT_SAVED: Final = "tries_not_saved"
_MAX_BYTES: Final = 256 * 1024


class Knock(StrEnum):
    """What came of a try."""

    OPENED = "opened"
    WRONG = "wrong"
    TOO_SOON = "too_soon"


@dataclass(frozen=True, slots=True)
class Answer:
    """A try's outcome and, TOO_SOON, after how many seconds the next one is looked at."""

    knock: Knock
    wait_s: float = 0.0


class Door:
    """Password and limits behind one lock: a hash takes 64 MiB, and parallel tries must count."""

    def __init__(self, directory: Path, log: Logger, passwords: PasswordFile | None = None) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StartError(
                f"cannot make the directory {directory}: {exc.strerror}; "
                "create it for this user or configure another state_dir"
            ) from None
        self._passwords = passwords or PasswordFile(password_path(directory))
        self._tries = directory / "tries.json"
        self._limits = Limits()
        self._log = log
        self._turn = asyncio.Lock()
        self._restore()

    async def generation(self) -> str | None:
        """Which password is set; None: none yet, and whoever comes first from inside sets it."""
        return await asyncio.to_thread(self._passwords.generation)

    async def set_first(self, password: str) -> bool:
        """Set the password unless one is set; returns whether it did. Raises OSError."""
        async with self._turn:
            if await self.generation() is not None:
                return False
            await asyncio.to_thread(self._passwords.set, password)
            self._limits.forget_known()
            await self._save()
            return True

    async def knock(self, password: str, address: str) -> Answer:
        async with self._turn:
            wait_s = self._limits.wait_s(address, boottime())
            if wait_s > 0:
                return Answer(Knock.TOO_SOON, wait_s)
            # Counted and on disk before the comparison: a crash in between gives no free try.
            self._limits.tried(address, boottime())
            await self._save()
            if not await asyncio.to_thread(self._passwords.matches, password[:MAX_CHARACTERS]):
                return Answer(Knock.WRONG)
            self._limits.succeeded(address, boottime())
            await self._save()
            return Answer(Knock.OPENED)

    def _restore(self) -> None:
        try:
            data = read_bounded(self._tries, _MAX_BYTES)
            record = msgspec.json.decode(data, type=Record)
        except FileNotFoundError:
            return
        except (OSError, FileTooLargeError, msgspec.MsgspecError, UnicodeError) as exc:
            self._log.warning(TRIES_UNREADABLE, file=str(self._tries), reason=exc)
            return
        self._limits.restore(record, boottime(), wall_ms())

    async def _save(self) -> None:
        record = msgspec.json.encode(self._limits.dump(boottime(), wall_ms()))
        try:
            await asyncio.to_thread(write_atomic, self._tries, record)
        except OSError as exc:
            # The limits hold in memory; a full disk must not keep the owner from OFF.
            self._log.warning(TRIES_NOT_SAVED, file=str(self._tries), reason=exc)


def password_path(directory: Path) -> Path:
    """Where the hash stands, for the page and for `ams reset-password`."""
    return directory / "password"
