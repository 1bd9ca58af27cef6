"""The way in and out: first password, login, logout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ams.door import Knock
from ams.passwords import UNREADABLE
from ams.rcd_client import RcdAwayError
from ams.strength import MAX_CHARACTERS, MIN_CHARACTERS, judge
from ams.visits import Notice
from ams.website import LOGIN_PATH, actor
from rclib.pages import guard
from rclib.wire.local import LoginOutcome, RecordLogin

if TYPE_CHECKING:
    from ams.website import Website

RECORD_FAILED: Final = "record_failed"
_FORBIDDEN: Final = web.HTTPForbidden.status_code


class DoorPages:
    """What a browser sees that has not shown the password."""

    def __init__(self, site: Website) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(LOGIN_PATH, self.door),
            web.post("/password", self.first_password),
            web.post("/strength", self.strength),
            web.post(LOGIN_PATH, self.login),
            web.post("/logout", self.logout),
        ]

    async def door(self, request: web.Request) -> web.Response:
        """Show the door, whichever it is now."""
        if await self._site.visit(request) is not None:
            raise web.HTTPSeeOther("/")
        return await self._show(request)

    async def first_password(self, request: web.Request) -> web.Response:
        if await self._site.door.generation() is not None:
            return await self._show(request, Notice("already_set", is_problem=True))
        form = await guard.fields(request)
        password = form.get("password", "")
        strength = await asyncio.to_thread(judge, password)
        if not strength.is_accepted:
            limit = MAX_CHARACTERS if len(password) > MAX_CHARACTERS else MIN_CHARACTERS
            notice = Notice(f"strength_{strength.value}", {"n": limit}, is_problem=True)
            return await self._show(request, notice)
        if password != form.get("repeat", ""):
            return await self._show(request, Notice("different", is_problem=True))
        try:
            was_first = await self._site.door.set_first(password)
        except OSError as exc:
            why = exc.strerror or str(exc)
            return await self._show(request, Notice("not_saved", {"why": why}, is_problem=True))
        if not was_first:
            return await self._show(request, Notice("already_set", is_problem=True))
        await self._record(LoginOutcome.PASSWORD_CHANGED, request)
        return await self._site.let_in(Notice(f"strength_{strength.value}"))

    async def strength(self, request: web.Request) -> web.Response:
        """Judge while the first password is typed; afterwards nobody has a use for it."""
        if await self._site.door.generation() is not None:
            # The last key press may be asked about when the form has been sent already.
            raise web.HTTPNoContent
        form = await guard.fields(request)
        return web.Response(text=(await asyncio.to_thread(judge, form.get("password", ""))).value)

    async def login(self, request: web.Request) -> web.Response:
        form = await guard.fields(request)
        answer = await self._site.door.knock(form.get("password", ""), request.remote or "?")
        self._site.metrics.knocks[answer.knock].inc()
        if answer.knock is Knock.OPENED:
            await self._record(LoginOutcome.SUCCEEDED, request)
            return await self._site.let_in()
        if answer.knock is Knock.TOO_SOON:
            wait = self._site.language(request).wait(answer.wait_s)
            return await self._show(request, Notice("too_soon", {"wait": wait}, is_problem=True))
        await self._record(LoginOutcome.FAILED, request)
        return await self._show(request, Notice("wrong", is_problem=True))

    async def logout(self, request: web.Request) -> web.Response:
        await self._site.form(request)
        return self._site.let_out(request)

    async def _show(self, request: web.Request, notice: Notice | None = None) -> web.Response:
        generation = await self._site.door.generation()
        if generation == UNREADABLE and notice is None:
            notice = Notice("unreadable", is_problem=True)
        return self._site.page(
            request,
            "door.html",
            status=_FORBIDDEN if notice is not None else 200,
            notice=notice,
            is_first=generation is None,
            minimum=MIN_CHARACTERS,
            maximum=MAX_CHARACTERS,
        )

    async def _record(self, outcome: LoginOutcome, request: web.Request) -> None:
        try:
            await self._site.rcd.ask(RecordLogin(outcome, actor(request)))
        except RcdAwayError as exc:
            # The owner gets in all the same: OFF has to be within reach.
            self._site.log.warning(RECORD_FAILED, outcome=outcome.value, reason=str(exc))
