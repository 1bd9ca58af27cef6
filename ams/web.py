"""The page over HTTP: who may ask, what each address does. Works without JavaScript."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jinja2
import msgspec
from aiohttp import web

from ams import words
from ams.passwords import MIN_CHARACTERS, Door
from ams.rcd_client import RcdAwayError, RcdRefusedError, ask
from ams.visits import Visit, Visits, is_token
from rclib.runtime.clock import boottime
from rclib.runtime.net import parse_endpoint
from rclib.wire.access import AccessMode
from rclib.wire.gate import LIFETIME_S
from rclib.wire.ids import SessionId
from rclib.wire.local import (
    EndSession,
    Enrol,
    GetStatus,
    LoginOutcome,
    RecordLogin,
    Request,
    SetAccess,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ams.config import AmsConfig
    from rclib.runtime.logs import Logger

MAX_BODY_BYTES: Final = 16 * 1024
REQUEST_S: Final = 10.0
COOKIE: Final = "ams"
LANGUAGE_COOKIE: Final = "lang"
MAX_HOURS: Final = 168

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page:
    """The handlers and what they share."""

    def __init__(self, config: AmsConfig, log: Logger) -> None:
        self._rcd = Path(config.rcd_socket)
        self._log = log
        self._door = Door(Path(config.state_dir))
        self._visits = Visits()
        host = str(parse_endpoint(config.listen).host)
        self._hosts = {host, "localhost", *config.hosts}
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("ams"), autoescape=True, undefined=jinja2.StrictUndefined
        )

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_deadline, self._guard])
        app.add_routes(
            [
                web.get("/", self.main),
                web.get("/confirm", self.confirm),
                web.post("/password", self.first_password),
                web.post("/login", self.login),
                web.post("/logout", self.logout),
                web.post("/access", self.access),
                web.post("/end", self.end),
                web.post("/enrol", self.enrol),
                web.static("/static", Path(__file__).parent / "static"),
            ]
        )
        return app

    # Pages.

    async def main(self, request: web.Request) -> web.Response:
        visit = self._visit(request)
        if visit is None:
            return self._door_page(request)
        return await self._main_page(request, visit)

    async def confirm(self, request: web.Request) -> web.Response:
        visit = self._required(request)
        hours = _hours(request.query.get("hours", ""))
        language = self._language(request)
        key = "unlimited" if hours == 0 else "hour" if hours == 1 else "hours"
        choice = words.say(language, key, n=hours)
        return self._render(request, "confirm.html", csrf=visit.csrf, hours=hours, choice=choice)

    # Actions: each ends with a redirect, so that reloading repeats nothing.

    async def first_password(self, request: web.Request) -> web.Response:
        if not self._door.is_new:
            raise web.HTTPForbidden(
                text="the password is set already; `ams reset-password` as root"
            )
        form = await request.post()
        password, repeat = str(form.get("password", "")), str(form.get("repeat", ""))
        if len(password) < MIN_CHARACTERS:
            return self._door_page(request, "too_short", n=MIN_CHARACTERS)
        if password != repeat:
            return self._door_page(request, "different")
        await asyncio.to_thread(self._door.set_password, password)
        await self._record(LoginOutcome.PASSWORD_CHANGED, request)
        return self._let_in()

    async def login(self, request: web.Request) -> web.Response:
        address = request.remote or "?"
        wait_s = self._door.wait_s(address)
        if wait_s > 0:
            return self._door_page(request, "wait", n=int(wait_s) + 1)
        form = await request.post()
        password = str(form.get("password", ""))
        if self._door.is_new or not await asyncio.to_thread(self._door.check, password, address):
            await self._record(LoginOutcome.FAILED, request)
            return self._door_page(request, "bad_password")
        await self._record(LoginOutcome.SUCCEEDED, request)
        return self._let_in()

    async def logout(self, request: web.Request) -> web.Response:
        await self._form(request)
        self._visits.end(request.cookies.get(COOKIE, ""))
        raise _back()

    async def access(self, request: web.Request) -> web.Response:
        visit, form = await self._form(request)
        by = self._actor(request)
        if form.get("mode") == AccessMode.OFF.value:
            wanted = SetAccess(AccessMode.OFF, by)
        elif form.get("mode") == AccessMode.ON.value:
            hours = _hours(form.get("hours", ""))
            wanted = (
                SetAccess(AccessMode.ON_UNTIL, by, hours * 3600)
                if hours
                else SetAccess(AccessMode.ON, by)
            )
        else:
            raise web.HTTPBadRequest(text="mode is off or on")
        return await self._do(request, visit, wanted)

    async def end(self, request: web.Request) -> web.Response:
        visit, form = await self._form(request)
        try:
            session = msgspec.convert(form.get("session"), SessionId)
        except msgspec.ValidationError as exc:
            raise web.HTTPBadRequest(text=f"session: {exc}") from None
        return await self._do(request, visit, EndSession(session, self._actor(request)))

    async def enrol(self, request: web.Request) -> web.Response:
        visit, form = await self._form(request)
        try:
            wanted = msgspec.convert(
                {
                    "type": "enrol",
                    "server": form.get("server", "").strip(),
                    "code": form.get("code", "").strip(),
                    "by": self._actor(request),
                },
                Enrol,
            )
        except msgspec.ValidationError as exc:
            raise web.HTTPBadRequest(text=str(exc)) from None
        return await self._do(request, visit, wanted)

    # What they share.

    async def _do(self, request: web.Request, visit: Visit, wanted: Request) -> web.Response:
        """Ask rcd and say the truth: only what rcd confirms is shown as done."""
        try:
            await ask(self._rcd, wanted)
        except RcdAwayError:
            return await self._main_page(request, visit)
        except RcdRefusedError as exc:
            notice = words.say(self._language(request), "failed", why=exc)
            return await self._main_page(request, visit, notice)
        raise _back()

    async def _main_page(
        self, request: web.Request, visit: Visit, notice: str = ""
    ) -> web.Response:
        status: Status | None = None
        try:
            status = await ask(self._rcd, GetStatus())
        except (RcdAwayError, RcdRefusedError) as exc:
            self._log.warning("rcd_away", reason=str(exc))
            notice = notice or words.say(self._language(request), "away", n=LIFETIME_S)
        left = span(status.remaining_s) if status and status.remaining_s else ""
        return self._render(
            request,
            "main.html",
            http_status=200 if status else 503,
            status=status,
            csrf=visit.csrf,
            notice=notice,
            left=left,
            refresh=request.method == "GET",
            size=size,
            span=span,
        )

    def _door_page(self, request: web.Request, key: str = "", **values: object) -> web.Response:
        notice = words.say(self._language(request), key, **values) if key else ""
        return self._render(
            request,
            "door.html",
            http_status=403 if key else 200,
            notice=notice,
            first=self._door.is_new,
            minimum=MIN_CHARACTERS,
        )

    def _render(
        self, request: web.Request, template: str, *, http_status: int = 200, **values: object
    ) -> web.Response:
        language = self._language(request)
        text = self._templates.get_template(template).render(
            {
                "language": language,
                "t": lambda key, **each: words.say(language, key, **each),
                "csrf": "",
                "notice": "",
                "status": None,
                "refresh": False,
                **values,
            }
        )
        response = web.Response(text=text, content_type="text/html", status=http_status)
        response.set_cookie(LANGUAGE_COOKIE, language, samesite="Strict")
        return response

    def _let_in(self) -> web.Response:
        """A new id at each login: one known before is worth nothing after."""
        cookie = secrets.token_urlsafe(32)
        self._visits.begin(cookie, secrets.token_urlsafe(32), boottime())
        response = web.HTTPSeeOther("/")
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict")
        raise response

    def _visit(self, request: web.Request) -> Visit | None:
        return self._visits.find(request.cookies.get(COOKIE, ""), boottime())

    def _required(self, request: web.Request) -> Visit:
        visit = self._visit(request)
        if visit is None:
            raise _back()
        return visit

    async def _form(self, request: web.Request) -> tuple[Visit, dict[str, str]]:
        """The visitor and the fields of a form that this page made for this visit."""
        visit = self._required(request)
        fields = {key: str(value) for key, value in (await request.post()).items()}
        if not is_token(visit.csrf, fields.get("csrf", "")):
            raise web.HTTPForbidden(text="this form is not from this page; load it again")
        return visit, fields

    async def _record(self, outcome: LoginOutcome, request: web.Request) -> None:
        try:
            await ask(self._rcd, RecordLogin(outcome, self._actor(request)))
        except (RcdAwayError, RcdRefusedError) as exc:
            # The owner gets in all the same: OFF has to be within reach.
            self._log.warning("record_failed", outcome=outcome.value, reason=str(exc))

    def _language(self, request: web.Request) -> str:
        return words.choose(
            request.query.get("lang", ""),
            request.cookies.get(LANGUAGE_COOKIE, ""),
            request.headers.get("Accept-Language", ""),
        )

    @staticmethod
    def _actor(request: web.Request) -> str:
        return f"AMS page from {request.remote}"

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Host and Origin lists (against rebinding and foreign sites), headers on every answer."""
        host = urlsplit(f"//{request.host}").hostname
        origin = request.headers.get("Origin")
        try:
            if host not in self._hosts:
                raise web.HTTPForbidden(
                    text=f"this page is not known as {request.host}; see `hosts` in ams.toml"
                )
            if request.method == "POST" and (
                origin is None or urlsplit(origin).netloc != request.host
            ):
                raise web.HTTPForbidden(text="this form is not from this page")
            response = await handler(request)
        except web.HTTPException as exc:
            exc.headers.update(HEADERS)
            raise
        response.headers.update(HEADERS)
        return response


@web.middleware
async def _deadline(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Aiohttp itself waits for a body for ever."""
    try:
        async with asyncio.timeout(REQUEST_S):
            return await handler(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request took too long") from None


def _hours(text: str) -> int:
    hours = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= hours <= MAX_HOURS:
        raise web.HTTPBadRequest(text=f"hours is a number from 0 to {MAX_HOURS}")
    return hours


def _back() -> web.HTTPSeeOther:
    return web.HTTPSeeOther("/")


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def span(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d} h"
