from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from controld import store_audit, store_endpoints, store_migrate, store_sqlite, store_users
from controld.records import Entry
from controld.store import Store, StoreUnavailableError
from controld.store_schema import metadata
from rclib.runtime.errors import StartError
from rclib.wire.audit import AuditAction
from rclib.wire.ids import EndpointId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.store import Tx

ENTRY = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)
GATEWAY = EndpointId("gwy_" + "a" * 16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "controld.db"
    path.touch()
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(path)
    yield opened
    await opened.close()


def rows(tx: Tx) -> int:
    count = tx.scalar(text("SELECT count(*) FROM audit"))
    assert isinstance(count, int)
    return count


async def test_a_rolled_back_change_leaves_neither_row_nor_record(store: Store) -> None:
    def work(tx: Tx) -> None:
        store_users.add_organisation(tx, "Plant One", 1)
        store_audit.append(tx, ENTRY, 1)
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(work)
    assert await store.read(rows) == 0
    assert await store.read(lambda tx: tx.scalar(text("SELECT count(*) FROM organisations"))) == 0
    await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    newest = await store.read(lambda tx: tx.scalar(text("SELECT max(seq) FROM audit")))
    assert newest == 1  # the rollback took the number back, too


async def test_a_storm_of_cancellations_leaves_no_transaction_open(store: Store) -> None:
    rng = random.Random(7)  # noqa: S311 -- chooses when to cancel

    def work(tx: Tx) -> None:
        store_users.add_organisation(tx, f"Plant {rng.random()}", 1)
        store_audit.append(tx, ENTRY, 1)

    async def cancelled_somewhere() -> None:
        task = asyncio.create_task(store.write(work))
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(cancelled_somewhere() for _ in range(100)))
    async with asyncio.timeout(2):
        await store.write(work)
    assert store.is_idle
    organisations = await store.read(
        lambda tx: tx.scalar(text("SELECT count(*) FROM organisations"))
    )
    assert await store.read(rows) == organisations  # each change with its record, or neither


async def test_a_transaction_begun_is_finished_though_its_caller_is_cancelled(
    store: Store,
) -> None:
    def work(tx: Tx) -> None:
        store_audit.append(tx, ENTRY, 1)
        caller.cancel()
        store_audit.append(tx, ENTRY, 1)

    caller = asyncio.create_task(store.write(work))
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.write(lambda _tx: None)  # waits for its turn
    assert await store.read(rows) == 2


async def test_a_caller_that_gives_up_waiting_does_not_keep_the_lock(store: Store) -> None:
    waiting = [
        asyncio.create_task(store.write(lambda tx: store_audit.append(tx, ENTRY, 1)))
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting)
    async with asyncio.timeout(1):
        await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))


async def test_of_fifty_parallel_redeems_of_a_code_one_succeeds(store: Store) -> None:
    await store.write(lambda tx: store_endpoints.issue_code(tx, GATEWAY, "code", 1, 100))
    spent = await asyncio.gather(
        *(store.write(lambda tx: store_endpoints.spend_code(tx, "code", 2)) for _ in range(50))
    )
    assert spent.count(True) == 1


async def test_a_code_is_worthless_when_its_time_is_over(store: Store) -> None:
    await store.write(lambda tx: store_endpoints.issue_code(tx, GATEWAY, "code", 1, 100))
    assert not await store.write(lambda tx: store_endpoints.spend_code(tx, "code", 100))


@pytest.mark.parametrize("sql", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_record_refuses_to_be_changed(store: Store, sql: str) -> None:
    await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    with pytest.raises(Exception, match="cannot be changed"):
        await store.write(lambda tx: tx.execute(text(sql)))
    assert await store.read(rows) == 1


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnavailableError, match="readonly"):
        await store.read(lambda tx: store_audit.append(tx, ENTRY, 1))


async def test_a_full_disk_changes_nothing_and_heals(store: Store) -> None:
    await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))

    def limit(tx: Tx) -> None:
        pages = tx.scalar(text("PRAGMA page_count"))
        tx.execute(text(f"PRAGMA max_page_count = {pages}"))

    def fill(tx: Tx) -> None:
        for _ in range(500):
            store_audit.append(tx, ENTRY, 1)

    await store.write(limit)
    with pytest.raises(StoreUnavailableError, match="full"):
        await store.write(fill)
    await store.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 1000000")).close())
    assert await store.read(rows) == 1
    await store.write(fill)
    assert await store.read(rows) == 501


async def test_a_second_controld_is_kept_out(store: Store, path: Path) -> None:
    with pytest.raises(StartError, match="in use by another controld"):
        await Store.open(path)


async def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="controld init"):
        await Store.open(tmp_path / "none.db")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"x" * 8192)
    with pytest.raises(StartError, match="cannot be brought up to date"):
        store_migrate.migrate(path)


async def test_a_setting_that_does_not_take_keeps_controld_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An existing database keeps its encoding, as one on a network share keeps its journal mode.
    store_migrate.migrate(path)
    monkeypatch.setitem(store_sqlite.PRAGMAS, "encoding", "'UTF-16le'")
    with pytest.raises(StartError, match="encoding is UTF-8"):
        await Store.open(path)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    store_migrate.migrate(path)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartError, match="newer release"):
        await Store.open(path)


def test_the_migrations_build_the_schema_the_code_uses(path: Path) -> None:
    store_migrate.migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_verify_walks_a_stored_chain(store: Store, path: Path) -> None:
    for _ in range(3):
        await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    assert store_audit.verify_file(path).rows == 3  # beside the running store
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET actor = 'x' WHERE seq = 2")
    fault = store_audit.verify_file(path).fault
    assert fault is not None
    assert fault.seq == 2
