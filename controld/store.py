"""The database: one writing transaction at a time, durable, nothing half done.

A unit of work is a plain function of a transaction. It runs to its end in a task of its own:
whoever waits for it may be cancelled, the transaction is committed or rolled back regardless.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from controld.errors import InvalidError
from controld.store_migrate import migrate
from controld.store_postgres import PostgresBackend
from controld.store_sqlite import SqliteBackend
from controld.store_url import SqliteFile
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy.ext.asyncio import AsyncEngine

    from controld.store_url import Database

T = TypeVar("T")
Tx = Connection
"""What a unit of work gets; it must not keep it."""


# PostgreSQL's codes: by class what is no fault of ours, and text that it cannot store.
_DOWN: Final = ("08", "25006", "53", "57", "58")
_BAD_TEXT: Final = "22021"


class StoreUnavailableError(Exception):
    """The database cannot do its work now (disk full, I/O error); nothing was changed."""


class Backend(Protocol):
    """What the store needs of a kind of database."""

    writer: AsyncEngine
    """Its transactions see nobody else's writing until they end."""
    reader: AsyncEngine
    """Its transactions see one state of the data, and cannot write."""

    def check(self, connection: Connection) -> None: ...
    async def close(self) -> None: ...


class Store:
    """One database, opened by `Store.open`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, database: Database) -> Store:
        """Migrate and open a database; raises StartError."""
        backend: Backend
        if isinstance(database, SqliteFile):
            backend = SqliteBackend(database.path)
        else:
            backend = PostgresBackend(database)
        try:
            await migrate(database)
            for engine in (backend.writer, backend.reader):
                await _transact(engine, backend.check)
        except BaseException as exc:
            await backend.close()
            if isinstance(exc, StoreUnavailableError):
                raise StartError(f"{database} cannot be opened: {exc}") from None
            raise
        return cls(backend)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a durable transaction; its exception rolls back and comes out here.

        Once begun it is not stopped by the caller's cancellation. Raises StoreUnavailableError.
        """
        await self._turn.acquire()
        return await self._detached(self._write(work))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a snapshot, beside the writer. Raises StoreUnavailableError."""
        return await self._detached(_transact(self._backend.reader, work))

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open or waiting."""
        return not self._under_way and not self._turn.locked()

    async def close(self) -> None:
        """Wait for what is under way, then close."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._backend.close()

    async def _detached(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _write(self, work: Callable[[Tx], T]) -> T:
        try:
            return await _transact(self._backend.writer, work)
        finally:
            self._turn.release()


async def _transact(engine: AsyncEngine, work: Callable[[Tx], T]) -> T:
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except DBAPIError as exc:
        raise (_meaning(exc) or exc) from exc
    except OSError as exc:  # refused, reset, timed out: a server's, before SQLAlchemy sees it
        raise StoreUnavailableError(str(exc) or type(exc).__name__) from exc


def _meaning(exc: DBAPIError) -> Exception | None:
    """What a database error means to callers; None: a fault of ours."""
    state = str(getattr(exc.orig, "sqlstate", None) or "")
    if state == _BAD_TEXT:
        return InvalidError("bad_text", "a text has a character that no text can have (NUL)")
    is_down = isinstance(exc, (OperationalError, InterfaceError)) or exc.connection_invalidated
    if is_down or state.startswith(_DOWN):
        return StoreUnavailableError(str(exc.orig))
    return None
