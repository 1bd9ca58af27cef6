"""Sessions: started with one button, watched until they end."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from controld import api_audit, api_endpoints, api_flows, api_sessions, api_users
from controld.api import CURSOR, Open
from controld.api_types import StartRequest
from controld.errors import ConflictError
from controld.portal.charts import bars_of
from controld.portal.frame import Frame, Page, Visit, to, why
from controld.portal.presets import name_of
from controld.portal.progress import steps_of
from controld.roles import Action
from controld.start_rules import StartRefusal
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_types import AuditRecord, GatewayView, UserView
    from controld.portal.charts import Bar


async def sessions(frame: Frame, visit: Visit) -> web.Response:
    """A list by what the address says: open or past, of one gateway, of one person."""
    query = {name: visit.call.request.query.get(name, "") for name in ("show", "gateway", "user")}
    query["show"] = query["show"] or "open"
    cursor = visit.call.cursor()
    asked = query if cursor is None else query | {CURSOR: cursor}
    found = await api_sessions.list_(visit.asking(**asked))
    gateways: tuple[GatewayView, ...] = ()
    users: tuple[UserView, ...] = ()
    if visit.may(Action.SEE_GATEWAYS):
        gateways = (await api_endpoints.list_gateways(visit.call)).gateways
    if visit.may(Action.SEE_USERS):
        users = (await api_users.list_users(visit.call)).users
    return frame.show(
        visit,
        "sessions.html",
        sessions=found.sessions,
        is_open=query["show"] == "open",
        wanted=query,
        gateways=gateways,
        users=users,
        older=f"/sessions?{urlencode(query | {CURSOR: found.next})}" if found.next else None,
    )


async def session(frame: Frame, visit: Visit) -> web.Response:
    shown = await api_sessions.show(visit.call)
    names: dict[str, str] = {}
    if visit.may(Action.SEE_USERS):
        names = {u.id: u.name for u in (await api_users.list_users(visit.call)).users}
    names.setdefault(visit.call.user.id, visit.call.user.name)
    rows: list[AuditRecord] = []
    bars: list[Bar] = []
    if visit.may(Action.READ_AUDIT):
        record = await api_audit.of_session(visit.asking(limit=str(api_audit.LIMIT.high)))
        rows = [row for row in record.records if row.action != AuditAction.FLOW_RECORDED]
        bars = bars_of((await api_flows.of_session(visit.call)).flows)
    return frame.show(
        visit,
        "session.html",
        session=shown,
        rows=rows,
        bars=bars,
        steps=steps_of(shown),
        names=names,
        is_mine=visit.call.user.id in shown.users or visit.may(Action.PREPARE_SESSIONS),
        service_name=name_of,
    )


async def start(frame: Frame, visit: Visit) -> web.Response:
    """Hand over to the technician's client; the ticket in the link works once."""
    wanted = {name: visit.fields.get(name, "").strip() for name in ("reason", "reference")}
    try:
        link = await api_sessions.start(visit.with_body(StartRequest, wanted))
    except ConflictError as exc:
        if exc.code == StartRefusal.REASON_REQUIRED:
            return await _reason_page(frame, visit, exc)
        if exc.code != StartRefusal.NOT_RELEASED:
            raise
        # Whoever wants to start wants it released: the second person sees it now.
        asked = await api_sessions.request_release(visit.call)
        return to(f"/sessions/{asked.id}")
    shown = await api_sessions.show(visit.call)
    return frame.show(
        visit,
        "session_start.html",
        session=shown,
        steps=steps_of(shown),
        link=link.link,
        link_until_ms=link.expires_ms,
    )


async def client(frame: Frame, visit: Visit) -> web.Response:
    """How a computer becomes one that sessions start on."""
    config = frame.services.config
    return frame.show(
        visit, "client.html", download=config.client_url, server=frame.services.origin
    )


async def end(frame: Frame, visit: Visit) -> web.Response:
    del frame
    await api_sessions.end(visit.call)
    return to(f"/sessions/{visit.call.request.match_info['session']}")


async def release(frame: Frame, visit: Visit) -> web.Response:
    del frame
    released = await api_sessions.release(visit.call)
    return to(f"/sessions/{released.id}")


async def refuse(frame: Frame, visit: Visit) -> web.Response:
    del frame
    refused = await api_sessions.refuse(visit.call)
    return to(f"/sessions/{refused.id}")


_SESSION = "/sessions/{session}"
PAGES = (
    Page("GET", "/client", Open.SIGNED_IN, client),
    Page("GET", "/sessions", Action.SEE_SESSIONS, sessions),
    Page("GET", _SESSION, Action.SEE_SESSIONS, session),
    Page("POST", f"{_SESSION}/release", Action.RELEASE_SESSIONS, release),
    Page("POST", f"{_SESSION}/refuse", Action.RELEASE_SESSIONS, refuse),
    Page("POST", f"{_SESSION}/start", Action.START_SESSIONS, start),
    Page("POST", f"{_SESSION}/end", Action.END_SESSIONS, end),
)


async def _reason_page(frame: Frame, visit: Visit, refused: ConflictError) -> web.Response:
    """Ask for what is missing, and start from there."""
    return frame.show(
        visit,
        "session_reason.html",
        status=HTTPStatus.CONFLICT,
        notice=why(visit.language, refused),
        session=await api_sessions.show(visit.call),
    )
