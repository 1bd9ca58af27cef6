"""How a page is asked for, made and sent: the portal's counterpart of `controld.api`."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from aiohttp import web

from controld.api import REQUEST_S, STATUS, Call, Open, admit, revision_of
from controld.errors import DomainError, InvalidError, UnauthenticatedError
from controld.portal.visit import CSRF_FIELD, Cookie, csrf_of, is_own_form
from controld.portal.words import WORDS
from controld.roles import Action, Scope, scope_of
from controld.store import StoreUnavailableError
from rclib.pages import guard
from rclib.pages.chosen_language import language_of, remember_language
from rclib.pages.templates import Templates
from rclib.runtime.logs import RateLimitedLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from controld.services import Services
    from rclib.pages.language import Language

S = TypeVar("S", bound=msgspec.Struct)

LOGIN_PATH: Final = "/login"
PASSWORD_PATH: Final = "/password"  # noqa: S105 - an address
REVISION_FIELD: Final = "revision"
PAGE_FAILED: Final = "page_failed"
_MUST_CHANGE: Final = "password_change_required"


@dataclass(frozen=True, slots=True)
class FormCall(Call):
    """A call whose body came as a form and was made into the type that the API takes."""

    given: msgspec.Struct | None = None
    revision: str = ""
    """Of what the form was made from."""
    asked: Mapping[str, str] | None = None
    """What the API is asked for in place of what the page's own address says."""

    async def body(self, type_: type[S]) -> S:
        if isinstance(self.given, type_):
            return self.given
        raise AssertionError(f"a page asked for {type_.__name__} without giving it")

    def query(self, name: str) -> str | None:
        return Call.query(self, name) if self.asked is None else self.asked.get(name)

    def expected_revision(self) -> int:
        return revision_of(self.revision)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page."""

    call: Call
    language: Language
    fields: dict[str, str]
    """Of the form; none for a GET."""
    lists: dict[str, tuple[str, ...]]
    """The same with repeated fields."""

    def may(self, action: Action) -> bool:
        user = self.call.signed_in
        return user is not None and scope_of(user.role, action) is not Scope.NONE

    def listed(self, name: str) -> tuple[str, ...]:
        """All values of a field that may come several times."""
        return self.lists.get(name, ())

    def with_body(self, type_: type[S], values: dict[str, Any]) -> FormCall:
        """Return the call with what the form says as the API's body; raises InvalidError."""
        try:
            given = msgspec.convert(values, type_, strict=False)
        except msgspec.ValidationError as exc:
            raise InvalidError("bad_request", str(exc)) from None
        return FormCall(
            **_parts(self.call), given=given, revision=self.fields.get(REVISION_FIELD, "")
        )

    def asking(self, **query: str) -> FormCall:
        """Return the call with a query of the page's own, for the lists it shows."""
        return FormCall(**_parts(self.call), asked=query)


def _parts(call: Call) -> dict[str, Any]:
    return {each.name: getattr(call, each.name) for each in dataclasses.fields(Call)}


@dataclass(frozen=True, slots=True)
class Page:
    """One line of the portal's route table."""

    method: str
    path: str
    needs: Action | Open
    handle: Callable[[Frame, Visit], Awaitable[web.StreamResponse]]
    is_long: bool = False
    """Whether it may take longer than a request; see `Route.is_long`."""


class Frame:
    """What all pages share."""

    def __init__(self, services: Services, pages: Iterable[Page]) -> None:
        self.services = services
        self.cookie = Cookie(is_secure=not services.config.insecure_http)
        self._pages = tuple(pages)
        self._hosts = services.config.own_hosts
        self._templates = Templates(Path(__file__).parent)
        self._log = RateLimitedLogger(services.log)

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.route(page.method, page.path, self._answering(page)) for page in self._pages),
            *self._templates.routes(),
        ]

    # The way of a request.

    def _answering(self, page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        log = self._log

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(None if page.is_long else REQUEST_S):
                    response = await self._admitted(page, request)
            except web.HTTPException as exc:
                if exc.status >= HTTPStatus.BAD_REQUEST:
                    response = self._error(request, exc.status, "error_request")
                else:
                    guard.add_headers(request, exc)
                    raise
            except DomainError as exc:
                response = self._refused(request, page, exc)
            except guard.ForeignHostError as exc:
                response = self._error(request, HTTPStatus.FORBIDDEN, "error_host", host=exc)
            except guard.ForeignFormError:
                response = self._error(request, HTTPStatus.FORBIDDEN, "error_form")
            except StoreUnavailableError as exc:
                log.warning(PAGE_FAILED, once_per="store", path=request.path, reason=exc)
                response = self._error(request, HTTPStatus.SERVICE_UNAVAILABLE, "error_store")
            except TimeoutError:
                response = self._error(request, HTTPStatus.REQUEST_TIMEOUT, "error_slow")
            except (asyncio.CancelledError, ConnectionError):
                raise
            except Exception as exc:
                log.error(  # noqa: TRY400 -- not stdlib's logger
                    PAGE_FAILED, once_per=type(exc).__name__, path=request.path, exc_info=exc
                )
                response = self._error(request, HTTPStatus.INTERNAL_SERVER_ERROR, "error_fault")
            if not response.prepared:
                guard.add_headers(request, response)
            return response

        return answer

    async def _admitted(self, page: Page, request: web.Request) -> web.StreamResponse:
        await guard.check(request, self._hosts)
        call = await admit(page.needs, self.services, request, self.cookie.token)
        fields: dict[str, str] = {}
        lists: dict[str, tuple[str, ...]] = {}
        if page.method == "POST":
            fields = await guard.fields(request)
            form = await request.post()
            lists = {key: tuple(str(each) for each in form.getall(key)) for key in form}
            if call.token and not is_own_form(call.token, fields.get(CSRF_FIELD, "")):
                raise guard.ForeignFormError
        visit = Visit(call, language_of(request, WORDS), fields, lists)
        response = await page.handle(self, visit)
        remember_language(request, response, secure=self.cookie.is_secure)
        return response

    def _refused(self, request: web.Request, page: Page, exc: DomainError) -> web.StreamResponse:
        if isinstance(exc, UnauthenticatedError) and page.needs is not Open.ANYONE:
            return to(LOGIN_PATH)
        if exc.code == _MUST_CHANGE:
            return to(PASSWORD_PATH)
        language = language_of(request, WORDS)
        sentence = why(language, exc)
        return self._page(request, language, "error.html", STATUS[type(exc)], sentence=sentence)

    # Making pages.

    def show(
        self, visit: Visit, template: str, *, status: int = HTTPStatus.OK, **values: object
    ) -> web.Response:
        call = visit.call
        return self._page(
            call.request,
            visit.language,
            template,
            status,
            user=call.signed_in,
            may=lambda action: visit.may(Action(action)),
            csrf=csrf_of(call.token) if call.token else "",
            now_ms=call.now_ms,
            **values,
        )

    def _error(self, request: web.Request, status: int, key: str, **values: object) -> web.Response:
        language = language_of(request, WORDS)
        sentence = language.say(key, **values)
        return self._page(request, language, "error.html", status, sentence=sentence)

    def _page(
        self,
        request: web.Request,
        language: Language,
        template: str,
        status: int,
        **values: object,
    ) -> web.Response:
        text = self._templates.render(
            template,
            {
                "language": language,
                "t": language.say,
                "path": request.path,
                "user": None,
                "may": lambda _: False,
                "csrf": "",
                "notice": None,
                **values,
            },
        )
        return web.Response(text=text, content_type="text/html", status=status)


def why(language: Language, exc: DomainError) -> str:
    """What was refused, in the visitor's language where there is a sentence for it."""
    named = language.name("refused", exc.code)
    return exc.detail if named == exc.code else named


def to(path: str) -> web.Response:
    """Lead the browser on, so that reloading repeats nothing."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
