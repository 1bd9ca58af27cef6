"""Reading the record of the caller's organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from controld import api_sessions, store_audit
from controld.api import Call, Number, Route
from controld.api_types import AuditPage, AuditRecord, LatestRecords
from controld.roles import Action
from controld.store_audit import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.audit_chain import Record
    from controld.records import Session
    from controld.store import Tx

AFTER: Final = Number("after", 0, low=0, high=2**53)
BEFORE: Final = Number("before", 2**53, low=1, high=2**53)
LIMIT: Final = Number("limit", 100, low=1, high=1000)


async def page(call: Call) -> AuditPage:
    """Records behind `after`, oldest first; gaps in `seq` are other organisations' records."""
    after, limit = call.number(AFTER), call.number(LIMIT)
    records = await call.services.store.read(
        lambda tx: store_audit.page(tx, call.user.organisation, after, limit)
    )
    return AuditPage(_shown(records), records[-1].seq if records else after)


async def latest(call: Call) -> LatestRecords:
    """Records ahead of `before`, newest first; gaps in `seq` are other organisations' records."""
    before, limit = call.number(BEFORE), call.number(LIMIT)
    records = await call.services.store.read(
        lambda tx: store_audit.page_before(tx, call.user.organisation, before, limit + 1)
    )
    more = records[limit - 1].seq if len(records) > limit else None
    return LatestRecords(_shown(records[:limit]), more)


async def of_session(call: Call) -> AuditPage:
    """What controld and the session's own ends put on record; others may claim what they like."""
    after, limit = call.number(AFTER), call.number(LIMIT)

    def work(tx: Tx) -> tuple[list[Record], int]:
        session = api_sessions.visible(tx, call)
        wanted = Wanted(organisation=call.user.organisation, session=session.id)
        rows = store_audit.select_rows(tx, wanted, after, limit)
        read_to = rows[-1][0].seq if rows else after
        return [row for row, _ in rows if is_of_session(row, session)], read_to

    records, read_to = await call.services.store.read(work)
    return AuditPage(_shown(records), read_to)


def is_of_session(record: Record, session: Session) -> bool:
    """Whether one of those states it who can know."""
    return record.endpoint in {None, session.gateway, session.client}


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/audit",
        needs=Action.READ_AUDIT,
        handle=page,
        gives=AuditPage,
        numbers=(AFTER, LIMIT),
    ),
    Route(
        method="GET",
        path="/api/v1/audit/latest",
        needs=Action.READ_AUDIT,
        handle=latest,
        gives=LatestRecords,
        numbers=(BEFORE, LIMIT),
    ),
    Route(
        method="GET",
        path="/api/v1/sessions/{session}/record",
        needs=Action.READ_AUDIT,
        handle=of_session,
        gives=AuditPage,
        numbers=(AFTER, LIMIT),
    ),
)


def _shown(records: Sequence[Record]) -> tuple[AuditRecord, ...]:
    return tuple(
        AuditRecord(
            seq=record.seq,
            at_ms=record.at_ms,
            actor=record.actor,
            actor_name=record.actor_name,
            source=record.source,
            action=record.action,
            session=record.session,
            subject=record.subject,
            detail=msgspec.json.decode(record.detail, type=dict[str, str]),
            endpoint=record.endpoint,
            endpoint_seq=record.endpoint_seq,
            endpoint_at_ms=record.endpoint_at_ms,
            endpoint_gap=record.endpoint_gap,
        )
        for record in records
    )
