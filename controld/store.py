"""The database: one writing connection, durable transactions, nothing half done.

A unit of work is a plain function of a transaction. It runs to its end in a task of its own:
whoever waits for it may be cancelled, the transaction is committed or rolled back regardless.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controld.store_migrate import migrate
from controld.store_sqlite import CONNECT_ARGS, prepare, wrong_settings
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")
Tx = Connection
"""What a unit of work gets; it must not keep it."""


class StoreUnavailableError(Exception):
    """The database cannot do its work now (disk full, I/O error); nothing was changed."""


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
        os.close(self._fd)


class Store:
    """One database, opened by `Store.open`."""

    def __init__(self, path: Path, lock: DatabaseLock) -> None:
        self._lock = lock
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", size=1, query_only=False)
        self._reader = _engine(path, begin="BEGIN", size=2, query_only=True)
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Migrate and open the database file; raises StartError."""
        if not path.is_file():  # noqa: ASYNC240 -- once, at start
            raise StartError(
                f"{path}: there is no such database; create a data directory with `controld init`"
            )
        lock = DatabaseLock(path)
        try:
            await asyncio.to_thread(migrate, path)
            store = cls(path, lock)
            try:
                await store._check(path)
            except BaseException:
                await store._dispose()
                raise
        except BaseException:
            lock.close()
            raise
        return store

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a durable transaction; its exception rolls back and comes out here.

        Once begun it is not stopped by the caller's cancellation. Raises StoreUnavailableError.
        """
        await self._turn.acquire()
        return await self._detached(self._write(work))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a snapshot, beside the writer. Raises StoreUnavailableError."""
        return await self._detached(_transact(self._reader, work))

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open or waiting."""
        return not self._under_way and not self._turn.locked()

    async def close(self) -> None:
        """Wait for what is under way, then close; the writer last, which folds in the log."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._dispose()
        self._lock.close()

    async def _detached(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _write(self, work: Callable[[Tx], T]) -> T:
        try:
            return await _transact(self._writer, work)
        finally:
            self._turn.release()

    async def _dispose(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()

    async def _check(self, path: Path) -> None:
        """Refuse to run on settings that could lose what was acknowledged."""
        try:
            for engine in (self._writer, self._reader):
                await _transact(engine, lambda tx: _check_settings(tx, path))
        except StoreUnavailableError as exc:
            raise StartError(f"{path} cannot be opened: {exc}") from None


def _engine(path: Path, *, begin: str, size: int, query_only: bool) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=size, max_overflow=0, connect_args=CONNECT_ARGS
    )
    prepare(engine.sync_engine, begin=begin, query_only=query_only)
    return engine


async def _transact(engine: AsyncEngine, work: Callable[[Tx], T]) -> T:
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except OperationalError as exc:
        raise StoreUnavailableError(str(exc.orig)) from exc
    except DatabaseError as exc:
        if exc.connection_invalidated:
            raise StoreUnavailableError(str(exc.orig)) from exc
        raise


def _check_settings(tx: Tx, path: Path) -> None:
    for complaint in wrong_settings(tx):
        raise StartError(
            f"{path}: SQLite's {complaint}; put the database on a local file system "
            "(no network share), so that commits survive a power cut"
        )
