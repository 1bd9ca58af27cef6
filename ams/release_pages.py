"""A technician waits: who, why, to what, for how long, and the words to compare on the phone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ams.asking import do, session_id
from ams.rcd_client import RcdAwayError
from ams.visits import Notice
from ams.website import actor
from rclib.wire.check_phrase import check_phrase
from rclib.wire.local import Refuse, Release

if TYPE_CHECKING:
    from ams.website import Website

SHORTER_H: Final = (1, 2, 4, 8)
"""Offered if shorter than what was asked for."""


class ReleasePages:
    """For who has shown the password."""

    def __init__(self, site: Website) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/release/{session}", self.look),
            web.post("/release", self.release),
            web.post("/refuse", self.refuse),
        ]

    async def look(self, request: web.Request) -> web.Response:
        """Show everything there is to decide about."""
        visit = await self._site.visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        wanted = session_id(request.match_info["session"])
        try:
            status = await self._site.rcd.status()
        except RcdAwayError:
            raise web.HTTPSeeOther("/") from None
        waiting = next((each for each in status.waiting if each.session == wanted), None)
        if waiting is None or status.identity_key is None:
            visit.notice = Notice("failed_not_waiting", is_problem=True)
            raise web.HTTPSeeOther("/")
        words = await asyncio.to_thread(check_phrase, waiting.identity_key, status.identity_key)
        return self._site.page(
            request,
            "release.html",
            csrf=visit.csrf,
            waiting=waiting,
            phrase=words,
            shorter=[hours for hours in SHORTER_H if hours * 3600 < waiting.duration_s],
        )

    async def release(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        hours = form.get("hours", "")
        if hours not in {"", *map(str, SHORTER_H)}:
            raise web.HTTPBadRequest
        wanted = Release(
            session_id(form.get("session", "")),
            actor(request),
            int(hours) * 3600 if hours else None,
        )
        await do(self._site, visit, wanted, Notice("done_release"))

    async def refuse(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        wanted = Refuse(session_id(form.get("session", "")), actor(request))
        await do(self._site, visit, wanted, Notice("done_refuse"))
