"""The record: newest first, the state of its chain, and files to keep."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import api_audit, api_events, api_proofs
from controld.errors import InvalidError, TooManyError
from controld.portal.frame import Frame, Page, Visit, why
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_proofs import ChainVerdict


async def record(frame: Frame, visit: Visit) -> web.StreamResponse:
    return await _page(frame, visit)


async def verify(frame: Frame, visit: Visit) -> web.StreamResponse:
    try:
        verdict = await api_proofs.verify(visit.call)
    except TooManyError as exc:
        return await _page(frame, visit, notice=why(visit.language, exc))
    return await _page(frame, visit, verdict)


async def export(frame: Frame, visit: Visit) -> web.StreamResponse:
    """The rows from one day to another, both included, as the portal's clock has them."""
    del frame
    query = visit.call.request.query
    begin, end = _day(query.get("from", "")), _day(query.get("until", ""))
    asked = {"format": query.get("format", "")}
    if begin is not None:
        asked["from_ms"] = _ms(begin)
    if end is not None:
        asked["until_ms"] = _ms(end + timedelta(days=1))
    return await api_proofs.export(visit.asking(**asked))


async def report(frame: Frame, visit: Visit) -> web.StreamResponse:
    del frame
    return await api_proofs.report(visit.call)


async def events(frame: Frame, visit: Visit) -> web.StreamResponse:
    """What has changed, for pages that are open."""
    del frame
    return await api_events.stream(visit.call)


PAGES = (
    Page("GET", "/record", Action.READ_AUDIT, record),
    Page("POST", "/record", Action.READ_AUDIT, verify, is_long=True),
    Page("GET", "/record/export", Action.READ_AUDIT, export, is_long=True),
    Page("GET", "/sessions/{session}/report", Action.READ_AUDIT, report),
    Page("GET", "/events", Action.SEE_SESSIONS, events, is_long=True),
)


async def _page(
    frame: Frame, visit: Visit, verdict: ChainVerdict | None = None, notice: str | None = None
) -> web.Response:
    shown = await api_audit.latest(visit.call)
    return frame.show(
        visit,
        "record.html",
        status=HTTPStatus.TOO_MANY_REQUESTS if notice else HTTPStatus.OK,
        notice=notice,
        records=shown.records,
        older=shown.next_before,
        is_newest=visit.call.query(api_audit.BEFORE.name) is None,
        chain=await api_proofs.chain(visit.call),
        verdict=verdict,
    )


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise InvalidError("bad_time", "a day is like 2026-03-01") from None


def _ms(at: datetime) -> str:
    return str(max(0, int(at.timestamp() * 1000)))
