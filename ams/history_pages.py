"""What happened on this gateway: the newest events to read, the whole signed record to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from ams.rcd_client import RcdAwayError
from rclib.pages import guard
from rclib.wire.errors import DecodeError
from rclib.wire.journal import decode_line

if TYPE_CHECKING:
    from ams.website import Website
    from rclib.wire.audit import AuditEvent

SHOWN: Final = 50
EXPORT_PATH: Final = "/journal.jsonl"
EXPORT_BROKEN_OFF: Final = "export_broken_off"


class HistoryPages:
    """For who has shown the password."""

    def __init__(self, site: Website) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/history", self.history), web.get(EXPORT_PATH, self.export)]

    async def history(self, request: web.Request) -> web.Response:
        visit = await self._site.visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        try:
            status = await self._site.rcd.status()
            events = await self._newest(status.journal_seq)
        except RcdAwayError:
            return self._site.page(
                request, "history.html", status=503, csrf=visit.csrf, events=None
            )
        return self._site.page(
            request,
            "history.html",
            csrf=visit.csrf,
            events=events,
            key=status.identity_key.hex() if status.identity_key else "",
            fingerprint=status.fingerprint,
        )

    async def export(self, request: web.Request) -> web.StreamResponse:
        """Stream the record as it stands on disk, for `rcd verify-journal`."""
        if await self._site.visit(request) is None:
            raise web.HTTPSeeOther("/")
        try:
            lines = await self._site.rcd.journal(0)
        except RcdAwayError:
            raise web.HTTPServiceUnavailable from None
        response = web.StreamResponse(
            headers={**guard.HEADERS, "Content-Disposition": "attachment; filename=journal.jsonl"}
        )
        response.content_type = "application/jsonl"
        await response.prepare(request)
        while lines:
            await response.write("".join(f"{line}\n" for line in lines).encode())
            try:
                lines = await self._site.rcd.journal(decode_line(lines[-1].encode()).event.seq)
            except (RcdAwayError, DecodeError) as exc:
                # A file that ends without the connection's proper end is seen to be incomplete.
                self._site.log.warning(EXPORT_BROKEN_OFF, reason=str(exc))
                raise ConnectionResetError(str(exc)) from None
        return response

    async def _newest(self, last_seq: int) -> list[AuditEvent]:
        """The newest SHOWN events, newest first; what cannot be read is left out."""
        events: list[AuditEvent] = []
        after = max(0, last_seq - SHOWN)
        while lines := await self._site.rcd.journal(after):
            try:
                events += [decode_line(line.encode()).event for line in lines]
            except DecodeError as exc:
                raise RcdAwayError(str(exc)) from None
            after = events[-1].seq
        return events[::-1][:SHOWN]
