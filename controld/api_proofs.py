"""The record as something to check and to keep: state of its chain, exports, reports.

The chain runs through all organisations' rows, so that its state is the same for all of them;
what is given out are rows of the caller's organisation alone.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from controld import api_sessions, store_audit, store_heads, store_users
from controld.api import Call, Choice, Number, Route
from controld.api_audit import is_of_session
from controld.audit_chain import ChainWalk
from controld.audit_export import csv_head, csv_line, json_line_of
from controld.audit_report import session_report
from controld.audit_verify import first_forged, with_forged
from controld.errors import TooManyError
from controld.records import Entry
from controld.roles import Action
from controld.store import StoreUnavailableError
from controld.store_audit import Wanted
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.session import Milliseconds

if TYPE_CHECKING:
    from controld.audit_chain import Verdict
    from controld.store import Tx

PORTION: Final = 500
"""Rows looked at in one go; others get their turn in between."""
EXPORT_S: Final = 900
CSV: Final = "csv"
FORMAT: Final = Choice("format", (CSV, "jsonl"))
FROM_MS: Final = Number("from_ms", 0, low=0, high=2**53)
UNTIL_MS: Final = Number("until_ms", 2**53, low=0, high=2**53)
_MEDIA: Final = {CSV: "text/csv", "jsonl": "application/jsonl"}


class ChainView(Struct, frozen=True):
    """How far the record goes and how far it is signed."""

    rows: int
    signed_rows: int
    """A signed head, which the gateways keep too, vouches for the rows up to here."""
    signed_ms: Milliseconds | None


class ChainVerdict(Struct, frozen=True):
    rows: int
    """How many rows from the first on are as they were written."""
    signed_rows: int
    fault_row: int | None
    """The first that is not."""
    fault: str
    """Why; empty for a record that is whole."""
    checked_ms: Milliseconds


async def chain(call: Call) -> ChainView:
    def work(tx: Tx) -> ChainView:
        head = store_heads.newest_head(tx)
        rows = store_audit.newest(tx)
        return ChainView(rows, head.seq, head.at_ms) if head else ChainView(rows, 0, None)

    return await call.services.store.read(work)


async def verify(call: Call) -> ChainVerdict:
    """Walk the whole record, as `controld audit verify` does beside it; one at a time."""
    services = call.services
    if services.verifying.locked():
        raise TooManyError("being_verified", "the record is being checked; ask again later")
    async with services.verifying:
        verdict = await _walk(call)
    fault = verdict.fault
    return ChainVerdict(
        rows=verdict.rows,
        signed_rows=verdict.confirmed,
        fault_row=fault.seq if fault else None,
        fault=fault.reason if fault else "",
        checked_ms=services.now_ms(),
    )


async def export(call: Call) -> web.StreamResponse:
    """The organisation's rows of a time, for other programs, each with its hash."""
    kind = call.choice(FORMAT) or CSV
    wanted = Wanted(
        organisation=call.user.organisation,
        from_ms=call.number(FROM_MS),
        until_ms=call.number(UNTIL_MS),
    )
    line = csv_line if kind == CSV else json_line_of
    await _record_export(call, kind)
    response = _file(f"record.{kind}", _MEDIA[kind])
    await response.prepare(call.request)
    await response.write(csv_head().encode() if kind == CSV else b"")
    after = 0
    try:
        async with asyncio.timeout(EXPORT_S):
            while rows := await call.services.store.read(
                partial(store_audit.select_rows, wanted=wanted, after=after, limit=PORTION)
            ):
                await response.write("".join(line(*row) for row in rows).encode())
                after = rows[-1][0].seq
            await response.write_eof()
    except (StoreUnavailableError, TimeoutError):
        # A file that ends early must not look whole: its connection breaks.
        if call.request.transport is not None:
            call.request.transport.abort()
    return response


async def report(call: Call) -> web.StreamResponse:
    """One session as a page to keep: who, what, when, and every row about it."""

    def work(tx: Tx) -> tuple[str, str]:
        session = api_sessions.visible(tx, call)
        wanted = Wanted(organisation=call.user.organisation, session=session.id)
        rows = [row for row in store_audit.each_row(tx, wanted) if is_of_session(row[0], session)]
        names: dict[str, str] = {
            u.id: u.name for u in store_users.list_users(tx, session.organisation)
        }
        return session.id, session_report(session, rows, names, call.now_ms)

    session, page = await call.services.store.read(work)
    response = web.Response(text=page, content_type="text/html")
    response.headers.update(_file(f"{session}.html", "text/html").headers)
    return response


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/audit/chain",
        needs=Action.READ_AUDIT,
        handle=chain,
        gives=ChainView,
    ),
    Route(
        method="POST",
        path="/api/v1/audit/verify",
        needs=Action.READ_AUDIT,
        handle=verify,
        gives=ChainVerdict,
        is_long=True,
    ),
    Route(
        method="GET",
        path="/api/v1/audit/export",
        needs=Action.READ_AUDIT,
        handle=export,
        numbers=(FROM_MS, UNTIL_MS),
        choices=(FORMAT,),
        media=tuple(_MEDIA.values()),
        is_long=True,
    ),
    Route(
        method="GET",
        path="/api/v1/sessions/{session}/report",
        needs=Action.READ_AUDIT,
        handle=report,
        media=("text/html",),
    ),
)


async def _record_export(call: Call, kind: str) -> None:
    """Who takes the record away is on record before the first byte leaves."""
    entry = Entry(
        action=AuditAction.RECORD_EXPORTED,
        organisation=call.user.organisation,
        actor=call.actor,
        detail={
            "format": kind,
            "from_ms": call.query(FROM_MS.name) or "",
            "until_ms": call.query(UNTIL_MS.name) or "",
        },
    )
    await call.services.recorder.record(entry, call.now_ms)


async def _walk(call: Call) -> Verdict:
    store = call.services.store
    heads = await store.read(store_heads.list_heads)
    forged = await asyncio.to_thread(first_forged, heads, call.services.notary.log_key)
    walk, after = ChainWalk(heads), 0
    verdict: Verdict | None = None
    while verdict is None and (
        rows := await store.read(
            partial(store_audit.select_rows, wanted=Wanted(), after=after, limit=PORTION)
        )
    ):
        verdict, after = walk.take(rows), rows[-1][0].seq
    return with_forged(verdict or walk.end(), forged)


def _file(name: str, media: str) -> web.StreamResponse:
    """An answer that a browser keeps as a file."""
    response = web.StreamResponse(
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    response.content_type = media
    response.charset = "utf-8"
    return response
