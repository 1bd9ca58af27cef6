"""T9: write the record and say what was acknowledged; later, check that all of it is there.

`python -m testbed.durable_writer write DATABASE` prints the number of each row once it is durable,
until somebody pulls the plug; `… check DATABASE ACKNOWLEDGED` reads what was printed, and `… write
DATABASE ACKNOWLEDGED` does so first.
DATABASE is a file (made if missing) or postgresql://…
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from controld import store_audit, store_heads, store_organisations
from controld.audit_chain import verify_chain
from controld.recorder import Recorder
from controld.records import Entry
from controld.store import Store
from controld.store_url import Database, SqliteFile, parse_database
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.store import Tx

ENTRY = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)


async def write(database: Database) -> None:
    """Changes with their record, and entries by group commit, until killed."""
    store = await Store.open(database)
    recorder = Recorder(store)

    def change(tx: Tx, name: str) -> int:
        store_organisations.add_organisation(tx, name, 1)
        store_audit.append(tx, ENTRY, 1)
        return store_heads.newest_row(tx)

    start = await store.read(store_heads.newest_row)
    for number in count(start):
        await asyncio.gather(*(recorder.record(ENTRY, 1) for _ in range(20)))
        print(await store.write(lambda tx, n=number: change(tx, f"plant {n}")), flush=True)  # type: ignore[misc]


async def check(database: Database, acknowledged: Sequence[int]) -> list[str]:
    """What is wrong; nothing if every acknowledged row is there."""
    store = await Store.open(database)

    def work(tx: Tx) -> list[str]:
        wrong = []
        verdict = verify_chain(store_audit.each_row(tx, store_audit.Wanted()))
        if verdict.fault is not None:
            wrong.append(f"row {verdict.fault.seq}: {verdict.fault.reason}")
        newest = max(acknowledged, default=0)
        if verdict.rows < newest:
            wrong.append(f"row {newest} was acknowledged, but there are only {verdict.rows}")
        changes = tx.scalar(text("SELECT count(*) FROM organisations")) or 0
        if changes < len(acknowledged):
            wrong.append(f"{len(acknowledged)} changes were acknowledged, {changes} are there")
        if tx.dialect.name == "sqlite":
            found = tx.scalar(text("PRAGMA integrity_check"))
            wrong += [] if found == "ok" else [f"integrity_check: {found}"]
        return wrong

    try:
        return await store.read(work)
    finally:
        await store.close()


def numbers(path: Path) -> list[int]:
    """Whole lines only: the last one may have been cut."""
    lines = path.read_text(errors="replace").split("\n")[:-1]
    return [int(line) for line in lines if line.isdecimal()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("write", "check"))
    parser.add_argument("database")
    parser.add_argument("acknowledged", type=Path, nargs="?")
    arguments = parser.parse_args()
    database = parse_database(arguments.database, None, Path())
    if isinstance(database, SqliteFile):
        database.path.touch()
    wrong: list[str] = []
    if arguments.what == "check" or arguments.acknowledged is not None:
        acknowledged = numbers(arguments.acknowledged) if arguments.acknowledged else []
        wrong = asyncio.run(check(database, acknowledged))
        for line in wrong:
            print(f"LOST: {line}")
        newest = max(acknowledged, default=0)
        print(f"{len(acknowledged)} acknowledged changes, newest row {newest}", flush=True)
    if arguments.what == "write" and not wrong:
        asyncio.run(write(database))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
