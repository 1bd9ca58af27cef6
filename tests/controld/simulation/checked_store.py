"""The real store on a database in memory that fails at will, and whose every commit is judged.

What is judged: who may have caused it (`laws`), and that each change of a session's state has its
row of the record in the same transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from controld.schema import metadata
from controld.store import Backend, Store
from tests.controld.simulation.laws import broken_laws

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from tests.controld.simulation.laws import Facts
    from tests.controld.simulation.virtual_time import Chance

T = TypeVar("T")
Rows = dict[str, Any]


def new_engine(template: sqlite3.Connection | None = None) -> Engine:
    arguments = {"isolation_level": None, "check_same_thread": False}
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, pool_reset_on_return=None, connect_args=arguments
    )
    if template is None:
        metadata.create_all(engine)
    else:
        with engine.connect() as connection:
            inner = connection.connection.driver_connection
            assert isinstance(inner, sqlite3.Connection)
            template.backup(inner)
    return engine


class Database:
    """Outlives every crash of controld."""

    def __init__(
        self, engine: Engine, chance: Chance, facts: Callable[[Connection], Facts]
    ) -> None:
        self.engine = engine
        self.chance = chance
        self.facts = facts
        self.fault_share = 0.0
        self.violations: list[str] = []
        self.turn = asyncio.Lock()
        self.commits = 0
        with engine.connect() as connection:
            self._before = snapshot(connection)
            self._last_row = last_row(connection)

    def judge(self, connection: Connection) -> tuple[Rows, int]:
        """Judge what the transaction is about to leave behind."""
        after = snapshot(connection)
        query = "SELECT session FROM audit WHERE seq > ?"
        recorded = set(connection.exec_driver_sql(query, (self._last_row,)).scalars())
        facts = None
        for session, now in after.items():
            was = self._before.get(session)
            if was == now:
                continue
            facts = facts or self.facts(connection)
            self.violations += broken_laws(was, now, facts)
            if (was is None or was.state != now.state) and session not in recorded:
                state = was.state if was is not None else None
                self.violations.append(f"{session}: {state} -> {now.state} is not on record")
        self.violations += [f"{gone} is gone" for gone in self._before if gone not in after]
        return after, last_row(connection)

    def committed(self, judged: tuple[Rows, int]) -> None:
        self._before, self._last_row = judged
        self.commits += 1

    def open_store(self) -> Store:
        """As a controld that starts opens it."""
        return Store(cast("Backend", _Backend(self)))


class _Backend:
    def __init__(self, database: Database) -> None:
        self.writer = _Engine(database, writes=True)
        self.reader = _Engine(database, writes=False)

    def check(self, connection: Connection) -> None:
        pass

    async def close(self) -> None:
        pass


class _Engine:
    def __init__(self, database: Database, *, writes: bool) -> None:
        self._database, self._writes = database, writes

    def begin(self) -> _Transaction:
        return _Transaction(self._database, writes=self._writes)


class _Transaction:
    """One transaction; before, in and after it anything may come between."""

    def __init__(self, database: Database, *, writes: bool) -> None:
        self._database, self._writes = database, writes
        self._judged: tuple[Rows, int] | None = None

    async def __aenter__(self) -> Self:
        await self._database.chance.pause(0.02)
        await self._database.turn.acquire()
        try:
            self._fail_perhaps()
        except OSError:
            self._database.turn.release()
            raise
        return self

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        self._connection = self._database.engine.connect()
        self._connection.exec_driver_sql("BEGIN")
        result = work(self._connection)
        if self._writes:
            # Judged where the decision falls: until the commit, the world goes on.
            self._judged = self._database.judge(self._connection)
        await self._database.chance.pause(0.02)
        return result

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None and self._writes:
                self._fail_perhaps()
                self._connection.exec_driver_sql("COMMIT")
                assert self._judged is not None
                self._database.committed(self._judged)
            else:
                self._connection.exec_driver_sql("ROLLBACK")
        except OSError:
            self._connection.exec_driver_sql("ROLLBACK")
            raise
        finally:
            self._connection.close()
            self._database.turn.release()
        await self._database.chance.pause(0.02)

    def _fail_perhaps(self) -> None:
        if self._database.chance.happens(self._database.fault_share):
            raise OSError("the disk is full, for once")


def snapshot(connection: Connection) -> Rows:
    return {row.id: row for row in connection.exec_driver_sql("SELECT * FROM sessions")}


def last_row(connection: Connection) -> int:
    return connection.exec_driver_sql("SELECT max(seq) FROM audit").scalar() or 0
