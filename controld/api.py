"""The way of every API request: who asks, may they, what do they get.

1. A route names the right it needs; what is not in the route table does not exist.
2. The bearer token becomes a user, the user's role is looked up, a denial goes on record.
3. The handler gets a typed body and returns a typed answer; every error leaves as problem+json
   (RFC 9457) with a `code` for programs and a `detail` for people.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from controld import store_audit, store_repeats, store_users
from controld.errors import (
    ChangedError,
    ConflictError,
    DomainError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RevisionMissingError,
    TooManyError,
    UnauthenticatedError,
)
from controld.records import Actor, Entry
from controld.roles import Action, Scope, scope_of
from controld.store import StoreUnavailableError
from rclib.runtime.logs import RateLimitedLogger
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from controld.records import User
    from controld.services import Services
    from controld.store import Tx

B = TypeVar("B", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 64 * 1024
REQUEST_S: Final = 10
MIN_KEY, MAX_KEY = 16, 128
MAX_REVISION_DIGITS: Final = 9
REQUEST_FAILED = "request_failed"

STATUS: Final[dict[type[DomainError], HTTPStatus]] = {
    InvalidError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    ChangedError: HTTPStatus.PRECONDITION_FAILED,
    RevisionMissingError: HTTPStatus.PRECONDITION_REQUIRED,
    TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
}


class Open(Enum):
    """What a route needs that no role decides about."""

    ANYONE = "anyone"
    SIGNED_IN = "signed_in"  # also before a one-time password was changed


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with everything a handler may use."""

    services: Services
    request: web.Request
    actor: Actor
    now_ms: int
    signed_in: User | None
    token: str

    @property
    def user(self) -> User:
        """Who asks; only routes open to anyone have nobody."""
        if self.signed_in is None:
            raise AssertionError(f"{self.request.path} is open to anyone and asks for a user")
        return self.signed_in

    async def body(self, type_: type[B]) -> B:
        """Read the JSON body; raises InvalidError where it is not what the route takes."""
        if self.request.content_type != "application/json":
            raise InvalidError("not_json", "the body's Content-Type is application/json")
        try:
            return msgspec.json.decode(await self.request.read(), type=type_)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            raise InvalidError("bad_request", str(exc)) from None

    async def optional_body(self, type_: type[B]) -> B | None:
        """Read the JSON body of a route that also goes without one; raises InvalidError."""
        return await self.body(type_) if await self.request.read() else None

    async def create(self, kind: type[B], work: Callable[[Tx], B]) -> B:
        """Run the transaction of a creating request; with an Idempotency-Key only once."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return await self.services.store.write(work)
        if not MIN_KEY <= len(key) <= MAX_KEY:
            raise InvalidError(
                "bad_request", f"an Idempotency-Key has {MIN_KEY} to {MAX_KEY} characters"
            )
        line = f"{self.request.method} {self.request.path}\n".encode()
        repeat = store_repeats.Repeat(self.user.id, key, line + await self.request.read())

        def once(tx: Tx) -> B:
            known = store_repeats.find_answer(tx, repeat, self.now_ms)
            if known is not None:
                return msgspec.json.decode(known, type=kind)
            answer = work(tx)
            store_repeats.keep_answer(tx, repeat, msgspec.json.encode(answer), self.now_ms)
            return answer

        return await self.services.store.write(once)

    def expected_revision(self) -> int:
        """Read the revision a change was made from. Raises RevisionMissingError, InvalidError."""
        tag = self.request.headers.get("If-Match")
        if tag is None:
            raise RevisionMissingError
        number = tag.strip().strip('"')
        if not (number.isascii() and number.isdigit() and len(number) <= MAX_REVISION_DIGITS):
            raise InvalidError("bad_request", "If-Match is the ETag of an earlier answer")
        return int(number)

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """Read a number from the query; raises InvalidError."""
        text = self.request.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and low <= int(text[:16]) <= high):
            raise InvalidError("bad_request", f"{name} is a number from {low} to {high}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the route table."""

    method: str
    path: str
    needs: Action | Open
    handle: Callable[[Call], Awaitable[msgspec.Struct | None]]
    status: HTTPStatus = HTTPStatus.OK


class Problem(msgspec.Struct, frozen=True):
    """The body of every error."""

    title: str
    status: int
    code: str
    detail: str
    type: str = "about:blank"


def add_routes(app: web.Application, services: Services, routes: Iterable[Route]) -> None:
    log = RateLimitedLogger(services.log)
    for route in routes:
        app.router.add_route(route.method, route.path, _handler(route, services))
    app.middlewares.append(_answering(services, log))


def _handler(
    route: Route, services: Services
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(REQUEST_S):
            call = await admit(route.needs, services, request, _bearer_token)
            answer = await route.handle(call)
        if answer is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        response = _json(msgspec.json.encode(answer), route.status)
        revision = getattr(answer, "revision", None)
        if revision is not None:
            response.headers["ETag"] = f'"{revision}"'
        return response

    return handle


async def admit(
    needs: Action | Open,
    services: Services,
    request: web.Request,
    token_of: Callable[[web.Request], str],
) -> Call:
    """Find out who asks and whether they may; one way for programs and for the portal.

    `token_of` returns the request's token or raises UnauthenticatedError. Raises that one and
    ForbiddenError.
    """
    source = request.remote or ""
    now_ms = services.now_ms()
    if needs is Open.ANYONE:
        return Call(services, request, Actor("", "", source), now_ms, None, "")
    token = token_of(request)
    idle_ms = services.config.times.login_idle_s * 1000
    user, is_touch_due = await services.store.read(
        lambda tx: (
            store_users.user_of_token(tx, token, now_ms),
            store_users.is_touch_due(tx, token, now_ms, idle_ms),
        )
    )
    if user is not None and is_touch_due:
        await services.store.write(lambda tx: store_users.touch(tx, token, now_ms, idle_ms))
    if user is None:
        raise UnauthenticatedError("not_signed_in", "the token is unknown or over; log in again")
    call = Call(services, request, Actor(user.id, user.name, source), now_ms, user, token)
    if isinstance(needs, Action):
        if user.must_change_password:
            raise ForbiddenError(
                "password_change_required",
                "this is a one-time password; set your own with POST /api/v1/password first",
            )
        if scope_of(user.role, needs) is Scope.NONE:
            await _record_denial(call, needs)
            raise ForbiddenError("forbidden", f"the role {user.role} does not allow this")
    return call


def _bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("not_signed_in", "log in, and send the token as Bearer token")
    return token.strip()


async def _record_denial(call: Call, action: Action) -> None:
    entry = Entry(
        action=AuditAction.PERMISSION_DENIED,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=call.request.path[:200],
        detail={"right": action.value, "method": call.request.method},
    )
    await call.services.store.write(lambda tx: store_audit.append(tx, entry, call.now_ms))


def _answering(
    services: Services, log: RateLimitedLogger
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Make the middleware through which every answer leaves, errors included."""

    @web.middleware
    async def answer(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await handler(request)
        except DomainError as exc:
            response = _problem(STATUS[type(exc)], exc.code, exc.detail)
        except StoreUnavailableError as exc:
            log.warning(REQUEST_FAILED, once_per="store", path=request.path, reason=exc)
            detail = "nothing can be stored at the moment, so nothing was done; try again later"
            response = _problem(HTTPStatus.SERVICE_UNAVAILABLE, "store_unavailable", detail)
        except TimeoutError:
            detail = f"the request took longer than {REQUEST_S} s"
            response = _problem(HTTPStatus.REQUEST_TIMEOUT, "too_slow", detail)
            response.force_close()
        except web.HTTPException as exc:
            response = _of_framework(exc)
        except Exception as exc:
            log.error(  # noqa: TRY400 -- not stdlib's logger
                REQUEST_FAILED, once_per=type(exc).__name__, path=request.path, exc_info=exc
            )
            detail = "a fault inside the control plane; its log says more"
            response = _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)
        services.metrics.requests.labels(str(response.status)).inc()
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return answer


def _of_framework(exc: web.HTTPException) -> web.Response:
    status = HTTPStatus(exc.status)
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take that method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"a body has at most {MAX_BODY_BYTES} bytes",
    }
    code = status.name.lower()
    return _problem(status, code, details.get(status, status.phrase))


def _problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    body = msgspec.json.encode(Problem(status.phrase, status.value, code, detail))
    return web.Response(body=body, status=status, content_type="application/problem+json")


def _json(body: bytes, status: HTTPStatus) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
