"""Reading the record of the caller's organisation."""

from __future__ import annotations

from typing import Final

import msgspec

from controld import store_audit
from controld.api import Call, Route
from controld.api_types import AuditPage, AuditRecord
from controld.roles import Action

MAX_PAGE: Final = 1000


async def page(call: Call) -> AuditPage:
    """Records behind `after`, oldest first; gaps in `seq` are other organisations' records."""
    after = call.number("after", 0, low=0, high=2**53)
    limit = call.number("limit", 100, low=1, high=MAX_PAGE)
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


ROUTES = (Route("GET", "/api/v1/audit", Action.READ_AUDIT, page),)
