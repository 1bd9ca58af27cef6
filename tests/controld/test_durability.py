"""T9 (without the power cut, which is for the virtual machine), T25's writers, T27's storm."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from controld import store_audit, store_organisations
from controld.audit_chain import verify_chain
from controld.recorder import Recorder
from controld.records import Entry
from controld.store import Store, StoreUnavailableError
from controld.store_audit import Wanted
from controld.store_url import PostgresServer, SqliteFile
from rclib.wire.audit import AuditAction
from rclib.wire.ids import OrganisationId
from testbed import durable_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.audit_chain import Verdict
    from controld.store import Tx
    from controld.store_url import Database

ENTRY = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)
RNG = random.Random(27)  # noqa: S311 -- chooses when to cancel and to kill


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres").new_database()
        return server
    (tmp_path / "controld.db").touch()
    return SqliteFile(tmp_path / "controld.db")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    opened = await Store.open(database)
    yield opened
    await opened.close()


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return Recorder(store)


async def chain(store: Store) -> Verdict:
    return await store.read(lambda tx: verify_chain(store_audit.each_row(tx, Wanted())))


async def test_two_hundred_writers_at_once_make_one_chain_without_a_gap(
    store: Store, recorder: Recorder
) -> None:
    note = [store.write(lambda tx: store_audit.append(tx, ENTRY, 1)) for _ in range(100)]
    await asyncio.gather(*note, *(recorder.record(ENTRY, 1) for _ in range(100)))
    verdict = await chain(store)
    assert (verdict.rows, verdict.fault) == (200, None)


async def test_entries_that_wait_together_share_a_transaction(
    store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []
    append_all = store_audit.append_all
    monkeypatch.setattr(
        store_audit, "append_all", lambda tx, e: (groups.append(len(e)), append_all(tx, e))
    )
    await asyncio.gather(*(recorder.record(ENTRY, number) for number in range(100)))
    assert len(groups) < 5
    stored = await store.read(lambda tx: [r.at_ms for r, _ in store_audit.each_row(tx, Wanted())])
    assert stored == list(range(100))  # in their order


async def test_an_entry_that_cannot_be_stored_takes_no_other_along(
    store: Store, recorder: Recorder
) -> None:
    bad = replace(ENTRY, organisation=OrganisationId("org_nobody"))
    entries = [ENTRY] * 5 + [bad] + [ENTRY] * 5
    answers = await asyncio.gather(
        *(recorder.record(entry, 1) for entry in entries), return_exceptions=True
    )
    assert [isinstance(answer, Exception) for answer in answers] == [e is bad for e in entries]
    assert (await chain(store)).rows == 10


async def test_a_storm_of_cancellations_leaves_no_transaction_open(
    store: Store, recorder: Recorder
) -> None:
    """T27: at whatever await a caller is cancelled, state and record are both there or neither."""

    def change(tx: Tx) -> None:
        store_organisations.add_organisation(tx, f"Plant {RNG.random()}", 1)
        store_audit.append(tx, ENTRY, 1)

    async def cancelled_somewhere(number: int) -> None:
        work = recorder.record(ENTRY, 1) if number % 3 == 0 else store.write(change)
        task = asyncio.create_task(work)
        for _ in range(RNG.randrange(40)):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(cancelled_somewhere(number) for number in range(300)))
    begin = time.monotonic()
    await store.write(change)
    assert time.monotonic() - begin < 10  # after whatever had begun; no lock was left
    await recorder.close()
    assert store.is_idle
    begin = time.monotonic()
    await store.write(change)
    assert time.monotonic() - begin < 10
    count = text("SELECT (SELECT count(*) FROM organisations), count(*) FROM audit")
    changes, rows = await store.read(lambda tx: tx.execute(count).one())
    assert changes <= rows <= changes + 100
    assert (await chain(store)).fault is None


async def test_what_was_acknowledged_survives_a_kill(database: Database) -> None:
    """T9: killed at a random moment, again and again, on the same database."""
    shown = str(database)
    if isinstance(database, PostgresServer):
        shown = database.url.set(drivername="postgresql").render_as_string()
    acknowledged: list[int] = []
    for _ in range(3):
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "testbed.durable_writer", "write", shown),
            stdout=asyncio.subprocess.PIPE,
        )
        assert writer.stdout is not None
        async with asyncio.timeout(60):
            said = [await writer.stdout.readline() for _ in range(RNG.randrange(2, 12))]
            writer.kill()
            said += (await writer.stdout.read()).splitlines(keepends=True)
            await writer.wait()
        acknowledged += [int(line) for line in said if line.endswith(b"\n")]
        assert await durable_writer.check(database, acknowledged) == []


async def test_a_lost_row_is_what_the_check_of_it_finds(store: Store, database: Database) -> None:
    await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    if isinstance(database, SqliteFile):
        await store.close()
    (rows, changes) = await durable_writer.check(database, [1, 2])
    assert "row 2 was acknowledged" in rows
    assert "2 changes" in changes


async def test_nothing_is_acknowledged_while_the_store_is_away(
    store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_work: object) -> None:
        raise StoreUnavailableError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", away)
        answers = await asyncio.gather(
            *(recorder.record(ENTRY, 1) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    await recorder.record(ENTRY, 1)
    assert (await chain(store)).rows == 1
