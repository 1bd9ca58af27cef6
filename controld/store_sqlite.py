"""How SQLite has to be set up so that what was acknowledged stays, whoever opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, event

if TYPE_CHECKING:
    from collections.abc import Iterator

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
