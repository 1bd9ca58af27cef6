"""The database for command lines: the same settings and transactions, without a loop of their own.

Writing to a file only while no controld runs on it; its lock sees to that. Reading, always.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from controld.store import Store, StoreUnavailableError
from controld.store_postgres import PostgresBackend
from controld.store_url import SqliteFile
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.store import Tx
    from controld.store_url import Database, PostgresServer

T = TypeVar("T")


def write_offline(database: Database, work: Callable[[Tx], T]) -> T:
    """Migrate, and run `work` in a durable transaction. Blocks; raises StartError."""
    return asyncio.run(write_once(database, work))


async def write_once(database: Database, work: Callable[[Tx], T]) -> T:
    """The same, where a loop runs."""
    store = await Store.open(database)
    try:
        return await store.write(work)
    except StoreUnavailableError as exc:
        raise StartError(f"{database} cannot be written: {exc}") from None
    finally:
        await store.close()


def read_offline(database: Database, work: Callable[[Tx], T]) -> T:
    """Run `work` on a snapshot, also beside a running controld. Blocks; raises StartError."""
    try:
        if isinstance(database, SqliteFile):
            return _read_file(database, work)
        return asyncio.run(_read_server(database, work))
    except (DBAPIError, OSError) as exc:
        reason = exc.orig if isinstance(exc, DBAPIError) else exc
        raise StartError(f"{database} cannot be read: {reason}") from None


def _read_file(database: SqliteFile, work: Callable[[Tx], T]) -> T:
    """Opened read-only, so that it cannot fold in the log that a controld is writing."""
    if not database.path.is_file():
        raise StartError(f"{database}: there is no such database")
    url = database.url.set(database=f"file:{database.path}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return work(connection)
    finally:
        engine.dispose()


async def _read_server(server: PostgresServer, work: Callable[[Tx], T]) -> T:
    backend = PostgresBackend(server)
    try:
        async with backend.reader.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await backend.close()
