"""What passed between technicians and machines, as gateways put it on record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from controld import api_sessions, store_audit, store_endpoints
from controld.api import Call, Number, Route
from controld.roles import Action
from controld.store_audit import Wanted
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.ids import EndpointId, GatewayId
from rclib.wire.session import Milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controld.audit_chain import Record
    from controld.store import Tx
    from rclib.wire.ids import SessionId

DAYS: Final = Number("days", 30, low=1, high=366)
MOST_ROWS: Final = 1000
"""Newest rows that are looked at; each has the totals since its session began."""
_MAX_DIGITS: Final = 16


class FlowView(Struct, frozen=True):
    """The newest totals of one machine in one session."""

    session: str
    device: str
    address: str
    to_bytes: int
    from_bytes: int
    last_ms: Milliseconds | None
    """When the last packet passed, as the gateway's clock had it."""


class FlowList(Struct, frozen=True):
    """Newest first."""

    flows: tuple[FlowView, ...]


async def of_session(call: Call) -> FlowList:
    """Bytes of each machine in a session."""

    def work(tx: Tx) -> Sequence[Record]:
        session = api_sessions.visible(tx, call)
        return _rows(tx, EndpointId(session.gateway), session=session.id)

    return _newest(await call.services.store.read(work))


async def of_gateway(call: Call) -> FlowList:
    """Bytes of each machine of a gateway in each session of the last days."""
    since_ms = call.now_ms - timedelta(days=call.number(DAYS)) // timedelta(milliseconds=1)

    def work(tx: Tx) -> Sequence[Record]:
        gateway = store_endpoints.get_gateway(
            tx, GatewayId(call.request.match_info["gateway"]), call.user.organisation
        )
        return _rows(tx, EndpointId(gateway.id), from_ms=since_ms)

    return _newest(await call.services.store.read(work))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/sessions/{session}/flows",
        needs=Action.READ_AUDIT,
        handle=of_session,
        gives=FlowList,
    ),
    Route(
        method="GET",
        path="/api/v1/gateways/{gateway}/flows",
        needs=Action.READ_AUDIT,
        handle=of_gateway,
        gives=FlowList,
        numbers=(DAYS,),
    ),
)


def _rows(
    tx: Tx, gateway: EndpointId, session: SessionId | None = None, from_ms: int | None = None
) -> Sequence[Record]:
    """Only the gateway itself can know what passed."""
    wanted = Wanted(
        endpoint=gateway, action=AuditAction.FLOW_RECORDED, session=session, from_ms=from_ms
    )
    return store_audit.newest_rows(tx, wanted, MOST_ROWS)


def _newest(records: Iterable[Record]) -> FlowList:
    found: dict[tuple[str, str], FlowView] = {}
    for record in records:
        detail = msgspec.json.decode(record.detail, type=dict[str, str])
        flow = FlowView(
            session=record.session or "",
            device=detail.get("device", ""),
            address=detail.get("address", ""),
            to_bytes=_count(detail.get("to_bytes", "")),
            from_bytes=_count(detail.get("from_bytes", "")),
            last_ms=_moment(detail.get("last", "")),
        )
        found.setdefault((flow.session, flow.address), flow)
    return FlowList(tuple(found.values()))


def _count(text: str) -> int:
    """What a gateway calls a number of bytes; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0


def _moment(text: str) -> int | None:
    try:
        return max(0, int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError, OSError):
        return None
