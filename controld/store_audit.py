"""Writing and reading the record. Numbers and hashes are given in the writing transaction.

Texts are stored in their `visible` spelling: whatever shows the record later, on whatever
screen, nothing in it can begin a line, steer a terminal or turn the order of reading around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, insert, select

from controld.audit_chain import GENESIS, Record, chain_hash
from controld.audit_text import visible
from controld.records import Actor
from controld.schema.record import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import RowMapping, Select

    from controld.records import Entry
    from controld.store import Tx
    from rclib.wire.audit import AuditAction, AuditEvent
    from rclib.wire.ids import EndpointId, OrganisationId, SessionId

_FIELDS = tuple(Record.__struct_fields__)
_COLUMNS = (*(audit.c[name] for name in _FIELDS), audit.c.hash)


def append(tx: Tx, entry: Entry, now_ms: int) -> None:
    """Put one entry on record, in the transaction of the change it states."""
    append_all(tx, [(entry, now_ms)])


def append_all(tx: Tx, entries: Iterable[tuple[Entry, int]]) -> None:
    """Put entries on record, each with its time (UTC ms), in their order."""
    _append(tx, [_of_entry(entry, now_ms) for entry, now_ms in entries])


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
    in_order = sorted(events, key=lambda event: event.seq)
    newest = newest_uploaded(tx, endpoint)
    asked = [event.seq for event in in_order if event.seq <= newest]
    query = select(audit.c.endpoint_seq).where(
        audit.c.endpoint == endpoint, audit.c.endpoint_seq.in_(asked)
    )
    known = set(tx.scalars(query)) if asked else set()
    drafts = []
    for item in in_order:
        if item.seq in known:
            continue
        drafts.append(
            _draft(
                at_ms=now_ms,
                organisation=organisation,
                actor=Actor(endpoint, item.actor),
                action=item.action.value,
                session=item.session,
                subject="",
                detail=item.detail,
            )
            | {
                "endpoint": endpoint,
                "endpoint_seq": item.seq,
                "endpoint_at_ms": item.at_ms,
                "endpoint_gap": max(0, item.seq - newest - 1),
            }
        )
        known.add(item.seq)
        newest = max(newest, item.seq)
    _append(tx, drafts)
    return len(drafts)


def newest_uploaded(tx: Tx, endpoint: EndpointId) -> int:
    """The highest sequence number stored from an endpoint; 0 for none."""
    newest = tx.scalar(select(func.max(audit.c.endpoint_seq)).where(audit.c.endpoint == endpoint))
    return newest or 0


def newest(tx: Tx) -> int:
    """The number of the newest row; 0 for none."""
    return tx.scalar(select(func.max(audit.c.seq))) or 0


def dated(tx: Tx) -> int:
    """When the newest row was written, UTC in milliseconds; 0 for none."""
    return tx.scalar(select(audit.c.at_ms).order_by(audit.c.seq.desc()).limit(1)) or 0


def page(tx: Tx, organisation: OrganisationId, after: int, limit: int) -> Sequence[Record]:
    """The organisation's records behind sequence number `after`, oldest first."""
    query = (
        select(*(audit.c[name] for name in _FIELDS))
        .where(audit.c.organisation == organisation, audit.c.seq > after)
        .order_by(audit.c.seq)
        .limit(limit)
    )
    return [_record(row) for row in tx.execute(query).mappings()]


def page_before(tx: Tx, organisation: OrganisationId, before: int, limit: int) -> Sequence[Record]:
    """The organisation's records ahead of sequence number `before`, newest first."""
    query = (
        select(*(audit.c[name] for name in _FIELDS))
        .where(audit.c.organisation == organisation, audit.c.seq < before)
        .order_by(audit.c.seq.desc())
        .limit(limit)
    )
    return [_record(row) for row in tx.execute(query).mappings()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which part of the record; None: not limited."""

    organisation: OrganisationId | None = None
    session: SessionId | None = None
    action: AuditAction | None = None
    endpoint: EndpointId | None = None
    from_ms: int | None = None
    """Inclusive."""
    until_ms: int | None = None
    """Exclusive."""


def select_rows(
    tx: Tx, wanted: Wanted, after: int = 0, limit: int = 1000
) -> Sequence[tuple[Record, bytes]]:
    """Rows behind `after` in their order, each with its stored hash."""
    query = select(*_COLUMNS).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    found = tx.execute(_only(query, wanted)).mappings()
    return [(_record(row), row["hash"]) for row in found]


def newest_rows(tx: Tx, wanted: Wanted, limit: int) -> Sequence[Record]:
    """The newest rows first."""
    query = select(*_COLUMNS).order_by(audit.c.seq.desc()).limit(limit)
    return [_record(row) for row in tx.execute(_only(query, wanted)).mappings()]


def _only(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.organisation is not None:
        query = query.where(audit.c.organisation == wanted.organisation)
    if wanted.session is not None:
        query = query.where(audit.c.session == wanted.session)
    if wanted.action is not None:
        query = query.where(audit.c.action == wanted.action.value)
    if wanted.endpoint is not None:
        query = query.where(audit.c.endpoint == wanted.endpoint)
    if wanted.from_ms is not None:
        query = query.where(audit.c.at_ms >= wanted.from_ms)
    if wanted.until_ms is not None:
        query = query.where(audit.c.at_ms < wanted.until_ms)
    return query


def each_row(tx: Tx, wanted: Wanted) -> Iterator[tuple[Record, bytes]]:
    """All of them, a portion at a time."""
    after = 0
    while portion := select_rows(tx, wanted, after):
        yield from portion
        after = portion[-1][0].seq


def _of_entry(entry: Entry, now_ms: int) -> dict[str, Any]:
    return _draft(
        at_ms=now_ms,
        organisation=entry.organisation,
        actor=entry.actor,
        action=entry.action.value,
        session=entry.session,
        subject=entry.subject,
        detail=entry.detail or {},
    )


def _draft(
    *, actor: Actor, detail: Mapping[str, str], subject: str, **columns: object
) -> dict[str, Any]:
    shown = {visible(key): visible(value) for key, value in detail.items()}
    return {
        **columns,
        "actor": visible(actor.id),
        "actor_name": visible(actor.name),
        "source": visible(actor.source),
        "subject": visible(subject),
        "detail": msgspec.json.encode(shown, order="sorted").decode(),
    }


def _append(tx: Tx, drafts: Sequence[dict[str, Any]]) -> None:
    """Number, chain and insert; the transaction is the only one that writes at this moment."""
    if not drafts:
        return
    newest = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    head = tx.execute(newest).first()
    seq, previous = (head.seq, head.hash) if head is not None else (0, GENESIS)
    rows = []
    for draft in drafts:
        seq += 1
        record = Record(seq=seq, **draft)
        previous = chain_hash(previous, record)
        values: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS}
        rows.append(values | {"hash": previous})
    tx.execute(insert(audit), rows)


def _record(row: RowMapping) -> Record:
    return Record(**{name: row[name] for name in _FIELDS})
