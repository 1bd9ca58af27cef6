"""Brings a database to the schema of this release, and knows whether it is there.

Runs before the store opens its connections, and never beside them: see `store_sqlite`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from controld.store_postgres import CONNECT_S, alone_with_migrations
from controld.store_sqlite import CONNECT_ARGS, prepare
from controld.store_url import SqliteFile
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from controld.store_url import Database, PostgresServer


logging.getLogger("alembic").setLevel(logging.WARNING)  # says on every start that it began


async def migrate(database: Database) -> None:
    """Create or upgrade the tables; raises StartError."""
    try:
        if isinstance(database, SqliteFile):
            await asyncio.to_thread(_migrate_file, database)
        else:
            await _migrate_server(database)
    except CommandError as exc:
        raise StartError(
            f"{database} was written by a release this one does not know ({exc}); "
            "start the newer release, or restore the backup made before the upgrade"
        ) from None
    except DBAPIError as exc:
        raise StartError(
            f"{database} cannot be brought up to date: {exc.orig}; check that it is there, "
            "what this user may do in it, and the free space"
        ) from None
    except OSError as exc:
        raise StartError(f"{database} cannot be reached: {exc}; is the server running?") from None


def _migrate_file(database: SqliteFile) -> None:
    engine = create_engine(database.url, connect_args=CONNECT_ARGS)
    prepare(engine, begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            upgrade(connection)
    finally:
        engine.dispose()


async def _migrate_server(server: PostgresServer) -> None:
    arguments = {"timeout": CONNECT_S}
    engine = create_async_engine(server.url, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade_alone)
    finally:
        await engine.dispose()


def _upgrade_alone(connection: Connection) -> None:
    with alone_with_migrations(connection):
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Run the missing migrations, each in a transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
