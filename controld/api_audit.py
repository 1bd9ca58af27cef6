"""Reading the record of the caller's organisation."""

from __future__ import annotations

from typing import Final

import msgspec

from controld import store_audit
from controld.api import Call, Number, Route
from controld.api_types import AuditPage, AuditRecord
from controld.roles import Action

AFTER: Final = Number("after", 0, low=0, high=2**53)
LIMIT: Final = Number("limit", 100, low=1, high=1000)


async def page(call: Call) -> AuditPage:
    """Records behind `after`, oldest first; gaps in `seq` are other organisations' records."""
    after, limit = call.number(AFTER), call.number(LIMIT)
    records = await call.services.store.read(
        lambda tx: store_audit.page(tx, call.user.organisation, after, limit)
    )
    return AuditPage(
        tuple(
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
        ),
        next_after=records[-1].seq if records else after,
    )


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/audit",
        needs=Action.READ_AUDIT,
        handle=page,
        gives=AuditPage,
        numbers=(AFTER, LIMIT),
    ),
)
