"""PostgreSQL, for several controlds on one database.

The units of work count on being alone: they look, then change. SQLite's BEGIN IMMEDIATE gives
them that, and here a lock that each writing transaction takes first and that ends with it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import create_async_engine

from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controld.store_url import PostgresServer

CONNECT_S: Final = 10
COMMAND_S: Final = 10
STALL_MS: Final = 5000
"""A writer that stops in the middle, or its machine, holds up the others no longer than this."""
_WRITER_LOCK: Final = 0x7263_0001  # "rc", and which lock; one database has one controld fleet
_MIGRATION_LOCK: Final = 0x7263_0002
NEWS: Final = "controld_news"
"""The channel on which one controld wakes the others."""
SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    # Anything less acknowledges commits that a power cut takes back.
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
    "server_encoding": ("UTF8",),
}


class PostgresBackend:
    """The engines of one PostgreSQL database."""

    def __init__(self, server: PostgresServer) -> None:
        self.name = str(server)
        timeouts = {"timeout": CONNECT_S, "command_timeout": COMMAND_S}
        alone = {"idle_in_transaction_session_timeout": str(STALL_MS)}
        self.writer = create_async_engine(
            server.url,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args=timeouts | {"server_settings": alone},
        )
        self.reader = create_async_engine(
            server.url,
            pool_size=4,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            connect_args=timeouts,
        )

        @event.listens_for(self.writer.sync_engine, "begin")
        def take_turn(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

        @event.listens_for(self.reader.sync_engine, "begin")
        def only_read(connection: Connection) -> None:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    async def close(self) -> None:
        await self.reader.dispose()
        await self.writer.dispose()

    def check(self, connection: Connection) -> None:
        """Refuse to run on settings that could lose what was acknowledged; raises StartError."""
        for name, wanted in SETTINGS.items():
            found = connection.exec_driver_sql(f"SHOW {name}").scalar()
            if found not in wanted:
                raise StartError(
                    f"{self.name}: PostgreSQL's {name} is {found}, not {wanted[0]}; set it in "
                    "postgresql.conf, so that commits survive a power cut"
                )


def database_ms(connection: Connection) -> int:
    """UTC in milliseconds on the one clock that all controlds of this database can see."""
    now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    return int(connection.exec_driver_sql(now).scalar_one())


def tell_news(connection: Connection) -> None:
    """Wake every controld of this database when the transaction has been committed."""
    connection.exec_driver_sql(f"NOTIFY {NEWS}")


@contextlib.contextmanager
def alone_with_migrations(connection: Connection) -> Iterator[None]:
    """Let one controld of several that start at once do it; the others find it done."""
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")
        connection.commit()
