"""The plant's view and its switch. Works without JavaScript; with it the view is live."""

from __future__ import annotations

import asyncio
import hashlib
import io
from typing import TYPE_CHECKING, Final

import msgspec
import segno
from aiohttp import web

from ams.asking import do, session_id
from ams.guard import LIVE_PATH
from ams.rcd_client import RcdAwayError
from ams.view import spelt_path, view_of
from ams.visits import Notice
from ams.website import LOGIN_PATH, actor
from rclib.pages import guard
from rclib.pages.chosen_language import PARAMETER
from rclib.pages.language import LANGUAGES
from rclib.runtime.clock import wall_ms
from rclib.wire.access import AccessMode
from rclib.wire.local import EndSession, Enrol, SetAccess

if TYPE_CHECKING:
    from ams.view import View
    from ams.visits import Visit
    from ams.website import Website
    from rclib.wire.local import SessionStatus

HOURS: Final = (1, 2, 4, 8, 24)
DEFAULT_HOURS: Final = 4
MAX_HOURS: Final = 168
LIVE_S: Final = 1.0
MAX_LIVE: Final = 16
"""Streams at once; the next one is told to ask again later."""
RCD_AWAY: Final = "rcd_away"
_AWAY: Final = web.HTTPServiceUnavailable.status_code


class PlantPages:
    """What a browser sees that has shown the password."""

    def __init__(self, site: Website, stopping: asyncio.Event) -> None:
        self._site = site
        self._stopping = stopping
        self._streams = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.overview),
            web.get("/state", self.state),
            web.get(LIVE_PATH, self.live),
            web.get("/fingerprint.svg", self.fingerprint),
            web.get("/confirm/on", self.confirm_on),
            web.get("/confirm/end", self.confirm_end),
            web.post("/access", self.access),
            web.post("/end", self.end),
            web.post("/enrol", self.enrol),
        ]

    # Looking.

    async def overview(self, request: web.Request) -> web.Response:
        # A page that reloads itself must not keep a screen logged in that nobody touches.
        visit = await self._site.visit(request, keep_awake="again" not in request.query)
        if visit is None:
            raise web.HTTPSeeOther(_with_language(request, LOGIN_PATH))
        notice, visit.notice = visit.notice, None
        return await self._show(request, visit, "overview.html", notice)

    async def state(self, request: web.Request) -> web.Response:
        """Return the part of the overview that changes, for `live.js`."""
        visit = await self._site.visit(request, keep_awake=False)
        if visit is None:
            raise web.HTTPForbidden
        return await self._show(request, visit, "state.html", None)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Send an event whenever the view has changed (Server-Sent Events)."""
        if await self._site.visit(request, keep_awake=False) is None:
            raise web.HTTPNoContent  # tells the browser not to come back
        if self._streams >= MAX_LIVE:
            raise web.HTTPServiceUnavailable
        response = web.StreamResponse(headers={**guard.HEADERS, "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        self._streams += 1
        try:
            await response.prepare(request)
            await self._stream(request, response)
        except ConnectionError:
            pass  # the browser has gone
        finally:
            self._streams -= 1
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        shown = b""
        while not self._stopping.is_set():
            if await self._site.visit(request, keep_awake=False) is None:
                await response.write(b"event: over\ndata:\n\n")
                return
            now = _digest(await self._view())
            # A comment keeps the connection, and tells us when nobody listens any more.
            await response.write(b"event: changed\ndata:\n\n" if now != shown else b":\n\n")
            shown = now
            await asyncio.sleep(LIVE_S)

    async def fingerprint(self, request: web.Request) -> web.Response:
        """Draw the identity's fingerprint as a QR code, for a phone's camera."""
        if await self._site.visit(request, keep_awake=False) is None:
            raise web.HTTPForbidden
        view = await self._view()
        if view.status is None:
            raise web.HTTPServiceUnavailable
        picture = io.BytesIO()
        segno.make(view.status.fingerprint, error="m").save(picture, kind="svg", scale=4, border=3)
        return web.Response(body=picture.getvalue(), content_type="image/svg+xml")

    # Asking before anything is opened or taken away from somebody at work.

    async def confirm_on(self, request: web.Request) -> web.Response:
        visit = await self._required(request)
        hours = _hours(request.query.get("hours", ""))
        return self._site.page(request, "confirm_on.html", csrf=visit.csrf, hours=hours)

    async def confirm_end(self, request: web.Request) -> web.Response:
        visit = await self._required(request)
        session = await self._session(request.query.get("session", ""))
        if session is None:
            visit.notice = Notice("gone_end")
            raise web.HTTPSeeOther("/")
        return self._site.page(request, "confirm_end.html", csrf=visit.csrf, session=session)

    # Doing: each ends with a redirect, so that reloading repeats nothing.

    async def access(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        by = actor(request)
        match form.get("mode"):
            case AccessMode.OFF.value:
                await do(self._site, visit, SetAccess(AccessMode.OFF, by), Notice("done_off"))
            case AccessMode.ON.value:
                hours = _hours(form.get("hours", ""))
                wanted = (
                    SetAccess(AccessMode.ON_UNTIL, by, hours * 3600)
                    if hours
                    else SetAccess(AccessMode.ON, by)
                )
                await do(self._site, visit, wanted, Notice("done_on"))
            case _:
                raise web.HTTPBadRequest

    async def end(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        wanted = EndSession(session_id(form.get("session", "")), actor(request))
        await do(self._site, visit, wanted, Notice("done_end"))

    async def enrol(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        fields = {
            "type": "enrol",
            "server": form.get("server", "").strip(),
            "code": form.get("code", "").strip(),
            "by": actor(request),
        }
        try:
            wanted = msgspec.convert(fields, Enrol)
        except msgspec.ValidationError as exc:
            visit.notice = Notice("failed_malformed", {"why": str(exc)}, is_problem=True)
            raise web.HTTPSeeOther("/") from None
        await do(self._site, visit, wanted, None)

    # What they share.

    async def _view(self) -> View:
        try:
            status = await self._site.rcd.status()
        except RcdAwayError:
            status = None
        self._site.metrics.rcd_up.set(status is not None)
        return view_of(status, self._site.rcd.contact, wall_ms())

    async def _show(
        self, request: web.Request, visit: Visit, template: str, notice: Notice | None
    ) -> web.Response:
        view = await self._view()
        return self._site.page(
            request,
            template,
            status=200 if view.status is not None else _AWAY,
            view=view,
            status_of_rcd=view.status,
            spelt_path=spelt_path,
            csrf=visit.csrf,
            notice=notice,
            hours=HOURS,
            default_hours=DEFAULT_HOURS,
            page_fingerprint=self._site.page_fingerprint,
        )

    async def _required(self, request: web.Request) -> Visit:
        visit = await self._site.visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        return visit

    async def _session(self, text: str) -> SessionStatus | None:
        wanted, view = session_id(text), await self._view()
        listed = view.status.sessions if view.status is not None else ()
        return next((each for each in listed if each.session == wanted), None)


def _digest(view: View) -> bytes:
    """What makes two views look different; the seconds that count down do not."""
    status = view.status
    if status is not None:
        sessions = tuple(
            msgspec.structs.replace(each, remaining_s=0.0, lease_remaining_s=0.0)
            for each in status.sessions
        )
        status = msgspec.structs.replace(status, remaining_s=None, sessions=sessions)
    shown = repr((view.shown, status, view.rcd_closed_by_ms, view.gate_closed_by_ms))
    return hashlib.sha256(shown.encode()).digest()


def _hours(text: str) -> int:
    """Read a choice of the form; 0: without end."""
    hours = (
        int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_HOURS)) else -1
    )
    if not 0 <= hours <= MAX_HOURS:
        raise web.HTTPBadRequest
    return hours


def _with_language(request: web.Request, path: str) -> str:
    wanted = request.query.get(PARAMETER)
    return f"{path}?{PARAMETER}={wanted}" if wanted in LANGUAGES else path
