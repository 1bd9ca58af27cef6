from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from controld import (
    store_audit,
    store_endpoints,
    store_heads,
    store_migrate,
    store_organisations,
    store_sqlite,
    store_users,
)
from controld.audit_chain import verify_chain
from controld.audit_heads import sign_head
from controld.errors import InvalidError
from controld.records import Entry
from controld.schema import metadata
from controld.store import Store, StoreUnavailableError
from controld.store_audit import Wanted
from controld.store_url import SqliteFile, parse_database
from rclib.runtime.errors import StartError
from rclib.wire.audit import AuditAction
from rclib.wire.ids import ChainHash, EndpointId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.store import Tx
    from controld.store_url import Database
    from testbed.postgres import Postgres

ENTRY = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)
GATEWAY = EndpointId("gwy_" + "a" * 16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "controld.db"
    path.touch()
    return path


@pytest.fixture
def file(path: Path) -> SqliteFile:
    return SqliteFile(path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind: the same tests for both."""
    if request.param == "sqlite":
        found: Database = request.getfixturevalue("file")
    else:
        found = request.getfixturevalue("postgres").new_database()
    return found


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    opened = await Store.open(database)
    yield opened
    await opened.close()


@pytest.fixture
async def file_store(file: SqliteFile) -> AsyncIterator[Store]:
    opened = await Store.open(file)
    yield opened
    await opened.close()


def rows(tx: Tx) -> int:
    count = tx.scalar(text("SELECT count(*) FROM audit"))
    assert isinstance(count, int)
    return count


async def test_a_rolled_back_change_leaves_neither_row_nor_record(store: Store) -> None:
    def work(tx: Tx) -> None:
        store_organisations.add_organisation(tx, "Plant One", 1)
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
        store_organisations.add_organisation(tx, f"Plant {rng.random()}", 1)
        store_audit.append(tx, ENTRY, 1)

    async def cancelled_somewhere() -> None:
        task = asyncio.create_task(store.write(work))
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(cancelled_somewhere() for _ in range(100)))
    async with asyncio.timeout(20):
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
    async with asyncio.timeout(20):
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


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "UPDATE audit_heads SET at_ms = 0",
        "DELETE FROM audit_heads",
    ],
)
async def test_the_record_refuses_to_be_changed(store: Store, sql: str) -> None:
    def sign(tx: Tx) -> None:
        store_audit.append(tx, ENTRY, 1)
        store_heads.add_head(tx, head)

    head = sign_head(Ed25519PrivateKey.generate(), 1, ChainHash(bytes(32)), 1)
    await store.write(sign)
    with pytest.raises(Exception, match="cannot be changed"):
        await store.write(lambda tx: tx.execute(text(sql)))
    assert await store.read(rows) == 1


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnavailableError, match=r"read-?only"):
        await store.read(lambda tx: store_audit.append(tx, ENTRY, 1))


async def test_a_full_disk_changes_nothing_and_heals(file_store: Store) -> None:
    await file_store.write(lambda tx: store_audit.append(tx, ENTRY, 1))

    def limit(tx: Tx) -> None:
        pages = tx.scalar(text("PRAGMA page_count"))
        tx.execute(text(f"PRAGMA max_page_count = {pages}"))

    def fill(tx: Tx) -> None:
        for _ in range(500):
            store_audit.append(tx, ENTRY, 1)

    await file_store.write(limit)
    with pytest.raises(StoreUnavailableError, match="full"):
        await file_store.write(fill)
    await file_store.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 1000000")).close())
    assert await file_store.read(rows) == 1
    await file_store.write(fill)
    assert await file_store.read(rows) == 501


async def test_a_second_controld_is_kept_out(file_store: Store, file: SqliteFile) -> None:
    with pytest.raises(StartError, match="in use by another controld"):
        await Store.open(file)


async def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="controld init"):
        await Store.open(SqliteFile(tmp_path / "none.db"))


async def test_a_server_that_is_not_there_is_named(postgres: Postgres) -> None:
    with pytest.raises(StartError, match="does not exist"):
        await Store.open(postgres.database("missing"))
    nowhere = parse_database("postgresql://controld@/x?host=/nonexistent", None, postgres.directory)
    with pytest.raises(StartError, match="is the server running"):
        await Store.open(nowhere)


async def test_a_server_that_may_lose_commits_is_refused(postgres: Postgres) -> None:
    server = postgres.new_database()
    store = await Store.open(server)
    name = server.url.database
    set_off = text(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await store.write(lambda tx: tx.execute(set_off).close())
    await store.close()
    with pytest.raises(StartError, match="synchronous_commit is off"):
        await Store.open(server)


async def test_a_file_that_is_no_database_is_refused(file: SqliteFile) -> None:
    file.path.write_bytes(b"x" * 8192)
    with pytest.raises(StartError, match="cannot be brought up to date"):
        await store_migrate.migrate(file)


async def test_a_setting_that_does_not_take_keeps_controld_from_starting(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An existing database keeps its encoding, as one on a network share keeps its journal mode.
    await store_migrate.migrate(file)
    monkeypatch.setitem(store_sqlite.PRAGMAS, "encoding", "'UTF-16le'")
    with pytest.raises(StartError, match="encoding is UTF-8"):
        await Store.open(file)


async def test_a_newer_schema_is_refused(database: Database) -> None:
    store = await Store.open(database)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await store.write(lambda tx: tx.execute(newer).close())
    await store.close()
    with pytest.raises(StartError, match="newer release"):
        await Store.open(database)


async def test_the_migrations_build_the_schema_the_code_uses(store: Store) -> None:
    def differences(tx: Tx) -> list[object]:
        context = MigrationContext.configure(tx, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await store.read(differences) == []


async def test_text_that_no_database_can_hold_is_the_callers_fault(store: Store) -> None:
    def work(tx: Tx) -> None:
        store_audit.append(tx, replace(ENTRY, subject="a\x00\r\n\u202e"), 1)

    await store.write(work)  # in the record it is spelt out
    (row,) = await store.read(lambda tx: list(store_audit.each_row(tx, Wanted())))
    assert row[0].subject == r"a\u{0}\u{d}\u{a}\u{202e}"
    with contextlib.suppress(InvalidError):  # SQLite takes it
        assert await store.read(lambda tx: store_users.find_user_by_name(tx, "\x00")) is None


async def test_writers_in_two_processes_make_one_chain(postgres: Postgres) -> None:
    server = postgres.new_database()
    first, second = await Store.open(server), await Store.open(server)
    note = functools.partial(store_audit.append, entry=ENTRY, now_ms=1)
    await asyncio.gather(*(s.write(note) for s in (first, second) for _ in range(100)))
    verdict = await first.read(lambda tx: verify_chain(store_audit.each_row(tx, Wanted())))
    assert (verdict.rows, verdict.fault) == (200, None)
    await first.close()
    await second.close()


async def test_what_was_acknowledged_is_there_after_the_server_crashed(
    postgres: Postgres,
) -> None:
    store = await Store.open(postgres.new_database())
    for _ in range(5):
        await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    await asyncio.to_thread(postgres.crash)
    async with asyncio.timeout(10):  # the store finds its way back by itself
        assert await store.read(rows) == 5
        await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    await store.close()
