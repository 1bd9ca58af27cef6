"""Writing and reading the record. Numbers and hashes are given in the writing transaction."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, insert, select

from controld.audit_chain import GENESIS, Record, Verdict, chain_hash, verify_chain
from controld.records import Actor
from controld.store_schema import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from controld.records import Entry
    from controld.store import Tx
    from rclib.wire.audit import AuditEvent
    from rclib.wire.ids import EndpointId, OrganisationId

_FIELDS = tuple(Record.__struct_fields__)


def append(tx: Tx, entry: Entry, now_ms: int) -> None:
    """Put one entry on record, in the transaction of the change it states."""
    _append(
        tx,
        at_ms=now_ms,
        organisation=entry.organisation,
        actor=entry.actor,
        action=entry.action.value,
        session=entry.session,
        subject=entry.subject,
        detail=entry.detail or {},
    )


def append_uploaded(
    tx: Tx,
    endpoint: EndpointId,
    organisation: OrganisationId,
    events: Iterable[AuditEvent],
    now_ms: int,
) -> int:
    """Store each event of an endpoint's spool once; return how many were new.

    A repetition changes nothing. An event whose predecessors never came is stored with the
    number of those missing.
    """
    stored = 0
    for item in sorted(events, key=lambda event: event.seq):
        newest = newest_uploaded(tx, endpoint)
        known = select(audit.c.seq).where(
            audit.c.endpoint == endpoint, audit.c.endpoint_seq == item.seq
        )
        if item.seq <= newest and tx.execute(known).first() is not None:
            continue
        _append(
            tx,
            at_ms=now_ms,
            organisation=organisation,
            actor=Actor(endpoint, item.actor),
            action=item.action.value,
            session=item.session,
            subject="",
            detail=item.detail,
            endpoint=endpoint,
            endpoint_seq=item.seq,
            endpoint_at_ms=item.at_ms,
            endpoint_gap=max(0, item.seq - newest - 1),
        )
        stored += 1
    return stored


def newest_uploaded(tx: Tx, endpoint: EndpointId) -> int:
    """The highest sequence number stored from an endpoint; 0 for none."""
    newest = tx.scalar(select(func.max(audit.c.endpoint_seq)).where(audit.c.endpoint == endpoint))
    return newest or 0


def page(tx: Tx, organisation: OrganisationId, after: int, limit: int) -> Sequence[Record]:
    """The organisation's records behind sequence number `after`, oldest first."""
    query = (
        select(*(audit.c[name] for name in _FIELDS))
        .where(audit.c.organisation == organisation, audit.c.seq > after)
        .order_by(audit.c.seq)
        .limit(limit)
    )
    return [Record(**row) for row in tx.execute(query).mappings()]


def verify_file(path: Path) -> Verdict:
    """Walk the chain of a database, also of a running controld's; blocks; OSError, sqlite3.Error.

    Reads by plain sqlite3, read-only: an auditor's check needs nothing of the store's own code.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return verify_chain(_rows(connection))
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[Record, bytes]]:
    columns = ", ".join(_FIELDS)
    query = f"SELECT {columns}, hash FROM audit ORDER BY seq"  # noqa: S608 -- names of our own
    for row in connection.execute(query):
        yield Record(**dict(zip(_FIELDS, row[:-1], strict=True))), row[-1]


def _append(tx: Tx, *, actor: Actor, detail: dict[str, str], **columns: Any) -> None:  # noqa: ANN401 -- Record checks the rest
    head = tx.execute(
        select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    ).first()
    seq, previous = (head.seq, head.hash) if head is not None else (0, GENESIS)
    record = Record(
        seq=seq + 1,
        actor=actor.id,
        actor_name=actor.name,
        source=actor.source,
        detail=msgspec.json.encode(detail, order="sorted").decode(),
        **columns,
    )
    values = {name: getattr(record, name) for name in _FIELDS}
    tx.execute(insert(audit).values(**values, hash=chain_hash(previous, record)))
