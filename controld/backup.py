"""A copy of a SQLite database that can be put back, made beside a running controld.

Reading cannot hurt the running one: the copying connection is read-only and folds nothing in.
A copy that is put back is older than the world: what was one-time then may have been used since,
so everything that opens something is void in it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import delete, update

from controld import store_audit
from controld.audit_chain import verify_chain
from controld.records import Actor, Entry
from controld.schema.endpoints import enrolments
from controld.schema.people import api_tokens, known_devices
from controld.schema.sessions import tickets
from controld.store_audit import Wanted
from controld.store_offline import read_offline, write_offline
from controld.store_sqlite import DatabaseLock
from controld.store_url import SqliteFile
from rclib.runtime.errors import OperatorError
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from pathlib import Path

    from controld.store import Tx

_LOG_SUFFIXES = ("-wal", "-shm")


def back_up(database: SqliteFile, out: Path) -> int:
    """Copy the database to a new file and check the copy; the number of rows on record.

    Raises OperatorError; then there is no copy.
    """
    if out.exists():
        raise OperatorError(f"{out} exists; a backup never replaces a file")
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)) as source:
            source.execute("VACUUM INTO ?", (str(part),))
        rows = _checked(SqliteFile(part))
        _synced(part)
        part.rename(out)
    except (sqlite3.Error, OSError) as exc:
        raise OperatorError(f"{database} was not backed up to {out}: {exc}") from None
    finally:
        part.unlink(missing_ok=True)
    return rows


def restore(copy: Path, database: SqliteFile, now_ms: int) -> Path | None:
    """Put a checked copy in the database's place; where the old one is now, if there was one.

    Raises OperatorError, or StartError while a controld runs; then nothing has changed.
    """
    path = database.path
    lock = DatabaseLock(path)
    part = path.with_name(f".{path.name}.restored")
    try:
        try:
            shutil.copyfile(copy, part)
            part.chmod(0o600)
        except OSError as exc:
            raise OperatorError(f"{copy} cannot be read: {exc}") from None
        _checked(SqliteFile(part))
        write_offline(SqliteFile(part), lambda tx: _void_openings(tx, now_ms))
        for suffix in _LOG_SUFFIXES:  # folded in by the last close
            part.with_name(part.name + suffix).unlink(missing_ok=True)
        part.with_name(f"{part.name}.lock").unlink(missing_ok=True)
        _synced(part)
        aside = _set_aside(path, now_ms)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
        lock.close()
    return aside


def _checked(database: SqliteFile) -> int:
    """How many rows are on record; raises OperatorError unless all is whole."""

    def work(tx: Tx) -> int:
        found = tx.exec_driver_sql("PRAGMA integrity_check").scalar()
        if found != "ok":
            raise OperatorError(f"{database} is damaged: {found}")
        verdict = verify_chain(store_audit.each_row(tx, Wanted()))
        if verdict.fault is not None:
            raise OperatorError(
                f"{database}: the record is broken at row {verdict.fault.seq}: "
                f"{verdict.fault.reason}"
            )
        return verdict.rows

    return read_offline(database, work)


def _void_openings(tx: Tx, now_ms: int) -> None:
    """Logins, tickets and enrolment codes of then: some were used or voided since."""
    tx.execute(delete(api_tokens))
    tx.execute(delete(known_devices))
    tx.execute(update(tickets).where(tickets.c.used_ms.is_(None)).values(used_ms=now_ms))
    tx.execute(update(enrolments).where(enrolments.c.used_ms.is_(None)).values(used_ms=now_ms))
    entry = Entry(
        action=AuditAction.BACKUP_RESTORED,
        organisation=None,
        actor=Actor("console", "controld restore"),
    )
    store_audit.append(tx, entry, now_ms)


def _set_aside(path: Path, now_ms: int) -> Path | None:
    """Move the database and its log away under one name, so that they stay a pair."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.before-restore-{now_ms}")
    for suffix in _LOG_SUFFIXES:
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.rename(aside.with_name(aside.name + suffix))
    return path.rename(aside)


def _synced(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
