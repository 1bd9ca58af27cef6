"""SQLite, set up so that what was acknowledged stays, whoever opens it.

One process with one writing connection: up to 3.51.2 a write-ahead log that two connections
write and fold in at once can be damaged.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_TIMEOUT_MS: Final = 10_000
PRAGMAS: Final[dict[str, str | int]] = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: NORMAL loses acknowledged commits in a power cut
    "foreign_keys": 1,
    "trusted_schema": 0,
    "mmap_size": 0,  # a mapped file turns a disk error into SIGBUS
    "busy_timeout": BUSY_TIMEOUT_MS,
}
CONNECT_ARGS: Final = {"isolation_level": None}
"""Transactions begin where we say, not implicitly before some statements and not others."""


class DatabaseLock:
    """Keeps a second process from writing the same database; held until closed."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}.lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StartError(
                f"{path} cannot be opened: {exc.strerror}; controld needs to write that directory"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise StartError(
                f"{database} is in use by another controld; stop that one first "
                "(systemctl stop controld)"
            ) from None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SqliteBackend:
    """The engines of one database file, locked for this process."""

    def __init__(self, path: Path) -> None:
        """Raises StartError."""
        if not path.is_file():
            raise StartError(
                f"{path}: there is no such database; create a data directory with `controld init`"
            )
        self.name = str(path)
        self._lock = DatabaseLock(path)
        self.writer = _engine(path, begin="BEGIN IMMEDIATE", size=1, query_only=False)
        self.reader = _engine(path, begin="BEGIN", size=2, query_only=True)

    async def close(self) -> None:
        """The writer last, which folds in the log."""
        await self.reader.dispose()
        await self.writer.dispose()
        self._lock.close()

    def check(self, connection: Connection) -> None:
        """Refuse to run on settings that could lose what was acknowledged; raises StartError."""
        for complaint in wrong_settings(connection):
            raise StartError(
                f"{self.name}: SQLite's {complaint}; put the database on a local file system "
                "(no network share), so that commits survive a power cut"
            )


def _engine(path: Path, *, begin: str, size: int, query_only: bool) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=size, max_overflow=0, connect_args=CONNECT_ARGS
    )
    prepare(engine.sync_engine, begin=begin, query_only=query_only)
    return engine


def prepare(engine: Engine, *, begin: str, query_only: bool = False) -> None:
    """Give each connection of the engine its settings and its way to begin."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:  # noqa: ANN401 -- a DBAPI connection
        cursor = connection.cursor()
        for name, value in PRAGMAS.items():
            cursor.execute(f"PRAGMA {name}={value}")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def wrong_settings(connection: Connection) -> Iterator[str]:
    """Say which setting did not take, and what it should be."""
    for name, wanted in PRAGMAS.items():
        found = connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        if found != wanted:
            yield f"{name} is {found}, not {wanted}"
