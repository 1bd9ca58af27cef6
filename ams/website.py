"""The site behind the handlers: who visits, in which language, and how a page is made."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ams.door import Door
from ams.rcd_client import Rcd
from ams.visits import Notice, Visit, Visits
from ams.words import WORDS
from rclib.pages import guard
from rclib.pages.chosen_language import language_of, remember_language
from rclib.pages.templates import Templates
from rclib.runtime.clock import boottime, wall_ms
from rclib.runtime.net import parse_endpoint

if TYPE_CHECKING:
    from ams.config import AmsConfig
    from ams.metrics import Metrics
    from rclib.pages.language import Language
    from rclib.runtime.logs import Logger

LOGIN_PATH: Final = "/login"


class Website:
    """What the handlers share."""

    def __init__(
        self,
        config: AmsConfig,
        log: Logger,
        metrics: Metrics,
        *,
        page_fingerprint: str | None,
        door: Door | None = None,
    ) -> None:
        # Fixed after construction.
        self.log = log
        self.metrics = metrics
        self.page_fingerprint = page_fingerprint
        """Of the page's own certificate; None: plain HTTP."""
        self.rcd = Rcd(Path(config.rcd_socket))
        self.door = door or Door(Path(config.state_dir), log)
        self.hosts = frozenset(
            {"localhost", str(parse_endpoint(config.listen).host), *config.hosts}
        )
        self._is_secure = page_fingerprint is not None
        # With this prefix a browser takes the cookie over TLS only, and from this host only.
        self._cookie = "__Host-ams" if self._is_secure else "ams"
        self._visits = Visits()
        self.templates = Templates(Path(__file__).parent)

    # The visitor.

    async def visit(self, request: web.Request, *, keep_awake: bool = True) -> Visit | None:
        """Return who is asking, if they have shown the password that is set now."""
        generation = await self.door.generation()
        cookie = request.cookies.get(self._cookie, "")
        return self._visits.find(cookie, generation, boottime(), keep_awake=keep_awake)

    async def form(self, request: web.Request) -> tuple[Visit, dict[str, str]]:
        """Return visitor and fields of a form that this page made for this visit."""
        visit = await self.visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        fields = await guard.fields(request)
        if not secrets.compare_digest(visit.csrf.encode(), fields.get("csrf", "").encode()):
            raise web.HTTPForbidden
        return visit, fields

    async def let_in(self, notice: Notice | None = None) -> web.Response:
        """Begin a visit with ids nobody has seen before."""
        generation = await self.door.generation()
        if generation is None:
            raise web.HTTPSeeOther("/")
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        visit = self._visits.begin(cookie, csrf, generation, boottime())
        visit.notice = notice
        response = web.Response(status=web.HTTPSeeOther.status_code, headers={"Location": "/"})
        response.set_cookie(
            self._cookie, cookie, httponly=True, secure=self._is_secure, samesite="Strict"
        )
        return response

    def let_out(self, request: web.Request) -> web.Response:
        self._visits.end(request.cookies.get(self._cookie, ""))
        response = web.Response(status=web.HTTPSeeOther.status_code, headers={"Location": "/"})
        response.del_cookie(self._cookie, secure=self._is_secure, samesite="Strict")
        return response

    # The page.

    def language(self, request: web.Request) -> Language:
        return language_of(request, WORDS)

    def page(
        self, request: web.Request, template: str, *, status: int = 200, **values: object
    ) -> web.Response:
        language = self.language(request)
        text = self.templates.render(
            template,
            {
                "language": language,
                "t": language.say,
                "now_ms": wall_ms(),
                "csrf": "",
                "notice": None,
                "title": "",
                **values,
            },
        )
        response = web.Response(text=text, content_type="text/html", status=status)
        remember_language(request, response, secure=self._is_secure)
        return response

    def error_page(
        self, request: web.Request, status: int, key: str, **values: object
    ) -> web.Response:
        """Say what went wrong, in the words of `key`."""
        sentence = self.language(request).say(key, **values)
        return self.page(request, "error.html", status=status, sentence=sentence)


def actor(request: web.Request) -> str:
    """Who pressed, for the gateway's record."""
    return f"AMS page from {request.remote or '?'}"
