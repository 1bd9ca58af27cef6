"""T25: whatever is done to the record, verify names the first bad row."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controld import cli, store_audit, store_heads
from controld.audit_chain import GENESIS, Record, chain_hash
from controld.audit_heads import sign_head
from controld.audit_notary import public_half
from controld.audit_verify import verify_database
from controld.records import Entry
from controld.store import Store
from controld.store_url import SqliteFile
from rclib.wire.audit import AuditAction
from rclib.wire.ids import ChainHash

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controld.store import Tx
    from rclib.wire.control import AuditHead
    from tests.controld.world import World

ROWS = 20
KEY = Ed25519PrivateKey.generate()
ENTRY = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)
FIELDS = tuple(Record.__struct_fields__)


@pytest.fixture
async def kept(tmp_path: Path) -> list[AuditHead]:
    """A record of twenty rows in audit.db, and a head of every row that a gateway kept."""
    database = SqliteFile(tmp_path / "audit.db")
    database.path.touch()
    store = await Store.open(database)
    heads: list[AuditHead] = []

    def work(tx: Tx) -> None:
        store_audit.append(tx, ENTRY, 1)
        seq = store_heads.newest_row(tx)
        row_hash = store_heads.hash_of_row(tx, seq)
        assert row_hash is not None
        heads.append(sign_head(KEY, seq, row_hash, seq))

    for _ in range(ROWS):
        await store.write(work)
    await store.close()
    return heads


def tampered(path: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Do something to the file as its owner can: with the triggers out of the way."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for table in ("audit", "audit_heads"):
            for kind in ("update", "delete"):
                database.execute(f"DROP TRIGGER IF EXISTS {table}_no_{kind}")
        change(database)


def rechained(database: sqlite3.Connection) -> None:
    """Make all hashes anew, as somebody would who knows how."""
    head = GENESIS
    columns = ", ".join(FIELDS)
    for row in database.execute(f"SELECT {columns} FROM audit ORDER BY seq").fetchall():  # noqa: S608
        record = Record(**dict(zip(FIELDS, row, strict=True)))
        head = chain_hash(head, record)
        database.execute("UPDATE audit SET hash = ? WHERE seq = ?", (head, record.seq))


def edit(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET actor_name = 'somebody else' WHERE seq = 7")


def delete(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE seq = 7")


def insert(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET seq = seq + 100 WHERE seq >= 7")
    database.execute("UPDATE audit SET seq = seq - 99 WHERE seq >= 107")
    columns = ", ".join(FIELDS[1:]) + ", hash"
    database.execute(
        f"INSERT INTO audit (seq, {columns}) SELECT 7, {columns} FROM audit WHERE seq = 6"  # noqa: S608
    )
    database.execute("UPDATE audit SET actor_name = 'nobody' WHERE seq = 7")


def reorder(database: sqlite3.Connection) -> None:
    for old, new in ((7, 0), (8, 7), (0, 8)):
        database.execute("UPDATE audit SET seq = ? WHERE seq = ?", (new, old))


def truncate(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE seq >= 7")


def fork(database: sqlite3.Connection) -> None:
    edit(database)
    rechained(database)


def insert_and_rechain(database: sqlite3.Connection) -> None:
    insert(database)
    rechained(database)


@pytest.mark.parametrize(
    "change", [edit, delete, insert, reorder, truncate, fork, insert_and_rechain]
)
def test_the_first_bad_row_is_named(
    tmp_path: Path, kept: list[AuditHead], change: Callable[[sqlite3.Connection], object]
) -> None:
    path = tmp_path / "audit.db"
    whole = verify_database(SqliteFile(path), public_half(KEY), kept)
    assert (whole.rows, whole.confirmed, whole.fault) == (ROWS, ROWS, None)
    tampered(path, change)
    fault = verify_database(SqliteFile(path), public_half(KEY), kept).fault
    assert fault is not None
    assert fault.seq == 7


async def test_an_older_copy_put_back_is_named(tmp_path: Path, kept: list[AuditHead]) -> None:
    path = tmp_path / "audit.db"
    shutil.copy(path, tmp_path / "older.db")
    store = await Store.open(SqliteFile(path))
    await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
    newest = await store.read(lambda tx: store_heads.hash_of_row(tx, ROWS + 1))
    await store.close()
    assert newest is not None
    shutil.copy(tmp_path / "older.db", path)
    kept.append(sign_head(KEY, ROWS + 1, newest, 1))
    fault = verify_database(SqliteFile(path), public_half(KEY), kept).fault
    assert fault is not None
    assert fault.seq == ROWS + 1
    assert "put back" in fault.reason


def test_with_heads_far_apart_a_fork_is_named_by_its_bounds(
    tmp_path: Path, kept: list[AuditHead]
) -> None:
    path = tmp_path / "audit.db"
    tampered(path, fork)
    fault = verify_database(SqliteFile(path), public_half(KEY), kept[4::5]).fault
    assert fault is not None
    assert (fault.seq, "from 6 to 10" in fault.reason) == (6, True)


async def test_a_head_in_the_database_that_nobody_signed_is_named(
    tmp_path: Path, kept: list[AuditHead]
) -> None:
    forged = sign_head(Ed25519PrivateKey.generate(), 5, ChainHash(bytes(32)), 1)
    store = await Store.open(SqliteFile(tmp_path / "audit.db"))
    right = msgspec.structs.replace(forged, chain_hash=kept[4].chain_hash)
    await store.write(lambda tx: store_heads.add_head(tx, right))
    await store.close()
    fault = verify_database(SqliteFile(tmp_path / "audit.db"), public_half(KEY)).fault
    assert fault is not None
    assert "not signed" in fault.reason


class TestGatewaysKeepHeads:
    """The whole way: controld signs, a gateway keeps, the auditor compares."""

    async def test_a_cut_off_record_shows_with_a_gateways_file(
        self,
        open_world: Callable[..., Any],
        data: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with open_world() as world:
            gateway = await world.gateway()
            await world.online(gateway)
            await world.server.services.notary.look()
            head = await gateway.head()
            await gateway.hang_up()
        kept = tmp_path / "audit-heads.jsonl"
        kept.write_bytes(msgspec.json.encode(head) + b"\n")
        verify = ["audit", "verify", "--config", str(data / "controld.toml"), "--heads", str(kept)]
        assert cli.main(verify) == 0
        tampered(
            data / "controld.db",
            lambda database: (
                database.execute("DELETE FROM audit_heads"),
                database.execute("DELETE FROM audit WHERE seq >= ?", (head.seq,)),
            ),
        )
        assert cli.main(verify[:4]) == 0  # by itself the database looks whole
        assert cli.main(verify) == 1
        assert f"BROKEN at row {head.seq}" in capsys.readouterr().out

    async def test_controld_says_so_itself_when_the_gateway_links_again(self, world: World) -> None:
        gateway = await world.gateway()
        await world.online(gateway)
        await world.server.services.notary.look()
        head = await gateway.head()
        await gateway.say(head)
        assert "audit_head_conflict" not in await world.actions()
        await gateway.say(msgspec.structs.replace(head, seq=head.seq + 1))  # not signed so
        assert (await world.actions()).count("audit_head_conflict") == 1
        await gateway.say(msgspec.structs.replace(head, seq=head.seq + 1))  # held back: a flood
        assert (await world.actions()).count("audit_head_conflict") == 1
        await gateway.hang_up()

    async def test_a_head_is_signed_after_a_minute_or_a_hundred_rows(self, world: World) -> None:
        store, notary = world.server.services.store, world.server.services.notary

        async def signed() -> list[int]:
            await notary.look()
            return [head.seq for head in await store.read(store_heads.list_heads)]

        (first,) = await signed()
        await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))
        assert await signed() == [first]
        world.clock.advance(61)
        assert await signed() == [first, first + 1]
        await store.write(lambda tx: store_audit.append_all(tx, [(ENTRY, 1)] * 250))
        assert await signed() == [first, first + 1, first + 101, first + 201]
