"""The database for command lines: the same settings and transactions, without a loop.

Only while no controld runs on it; `DatabaseLock` sees to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from controld.store import DatabaseLock, Tx
from controld.store_migrate import migrate
from controld.store_sqlite import CONNECT_ARGS, prepare
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class OfflineStore:
    """A database file of this process alone. Blocks; raises StartError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = DatabaseLock(path)
        try:
            migrate(path)
        except BaseException:
            self._lock.close()
            raise
        self._engine = create_engine(f"sqlite:///{path}", connect_args=CONNECT_ARGS)
        prepare(self._engine, begin="BEGIN IMMEDIATE")

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a durable transaction."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except DatabaseError as exc:
            raise StartError(f"{self._path} cannot be written: {exc.orig}") from None

    def close(self) -> None:
        self._engine.dispose()
        self._lock.close()
