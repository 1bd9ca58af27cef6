"""What an API request is made of: the route table's lines, the call, who asks and may they.

1. A route names the right it needs and the types it takes and gives; `api_openapi` documents
   these, and what is not in the route table does not exist.
2. The bearer token becomes a user, the user's role is looked up, a denial goes on record.
3. The handler gets a typed body and returns a typed answer (`api_server`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from controld import store_repeats, store_tokens, store_users
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
from controld.roles import Action, Role, Scope, scope_of
from controld.store import StoreUnavailableError
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from controld.records import User
    from controld.services import Services
    from controld.store import Tx

B = TypeVar("B", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 64 * 1024
REQUEST_S: Final = 10
MIN_KEY, MAX_KEY = 16, 128
MAX_REVISION_DIGITS: Final = 9
MAX_DIGITS: Final = 16
CURSOR: Final = "cursor"
MAX_CURSOR: Final = 80
MAX_CHOICE: Final = 80
PERSONAL_PREFIX: Final = "rcp_"
"""What a personal API token begins with, so that people and secret scanners know one."""

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
        return revision_of(tag.strip().strip('"'))

    def query(self, name: str) -> str | None:
        """What the address says behind its question mark."""
        return self.request.query.get(name)

    def number(self, wanted: Number) -> int:
        """Read a number from the query; raises InvalidError."""
        given = self.query(wanted.name)
        text = str(wanted.default) if given is None else given
        is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
        if not (is_number and wanted.low <= int(text) <= wanted.high):
            bounds = f"from {wanted.low} to {wanted.high}"
            raise InvalidError("bad_request", f"{wanted.name} is a number {bounds}")
        return int(text)

    def choice(self, wanted: Choice) -> str | None:
        """Read what narrows a list from the query; None: not limited. Raises InvalidError."""
        text = self.query(wanted.name) or ""
        if wanted.values and text and text not in wanted.values:
            known = ", ".join(wanted.values)
            raise InvalidError("bad_request", f"{wanted.name} is one of {known}")
        if len(text) > MAX_CHOICE:
            raise InvalidError("bad_request", f"{wanted.name} has at most {MAX_CHOICE} characters")
        return text or None

    def cursor(self) -> str | None:
        """What an earlier page named as `next`; the caller finds out whether it is one."""
        text = self.query(CURSOR)
        if text is not None and len(text) > MAX_CURSOR:
            raise InvalidError("bad_request", "this cursor comes from no page of this list")
        return text


@dataclass(frozen=True, slots=True)
class Number:
    """One number a route reads from its query."""

    name: str
    default: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a route reads from its query to narrow a list; left out or empty: all."""

    name: str
    values: tuple[str, ...] = ()
    """None: the id of something."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the route table."""

    method: str
    path: str
    needs: Action | Open
    handle: Callable[[Call], Awaitable[msgspec.Struct | web.StreamResponse | None]]
    status: HTTPStatus = HTTPStatus.OK
    takes: type[msgspec.Struct] | None = None
    gives: type[msgspec.Struct] | None = None
    """None: an answer without a body."""
    numbers: tuple[Number, ...] = ()
    choices: tuple[Choice, ...] = ()
    has_cursor: bool = False
    is_optional: bool = False
    """Whether the body may be left out."""
    is_change: bool = False
    """Whether it wants the ETag of what it changes."""
    is_stream: bool = False
    """Server-Sent Events, each of type `gives`."""
    media: tuple[str, ...] = ()
    """What a file to keep comes as."""
    is_long: bool = False
    """Whether it may take longer than a request; it sees to its own end."""


def revision_of(text: str) -> int:
    """Read a revision; raises InvalidError."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_REVISION_DIGITS):
        raise InvalidError("bad_request", "If-Match is the ETag of an earlier answer")
    return int(text)


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
    (user, scopes), is_touch_due = await services.store.read(
        lambda tx: (
            user_of(tx, token, now_ms),
            store_users.is_touch_due(tx, token, now_ms, idle_ms),
        )
    )
    if user is not None and is_touch_due:
        # What cannot be noted does not prolong the login, and hinders nobody from looking.
        with suppress(StoreUnavailableError):
            await services.store.write(lambda tx: store_users.touch(tx, token, now_ms, idle_ms))
    if user is None:
        raise UnauthenticatedError("not_signed_in", "the token is unknown or over; log in again")
    call = Call(services, request, Actor(user.id, user.name, source), now_ms, user, token)
    if scopes is not None and needs not in scopes:
        await record_denial(call, needs)
        raise ForbiddenError("token_scope", "this token was not made for that")
    if isinstance(needs, Action):
        if user.must_change_password:
            raise ForbiddenError(
                "password_change_required",
                "this is a one-time password; set your own with POST /api/v1/password first",
            )
        if scope_of(user.role, needs) is Scope.NONE:
            await record_denial(call, needs)
            raise ForbiddenError("forbidden", f"the role {user.role} does not allow this")
        if user.role is Role.AUDITOR:
            await _record_look(call, needs)
    return call


def user_of(tx: Tx, token: str, now_ms: int) -> tuple[User | None, frozenset[Action] | None]:
    """Whose token this is; with a personal one, the rights it was made for."""
    if token.startswith(PERSONAL_PREFIX):
        return store_tokens.user_of_token(tx, token, now_ms)
    return store_users.user_of_token(tx, token, now_ms), None


async def record_denial(call: Call, needs: Action | Open) -> None:
    entry = Entry(
        action=AuditAction.PERMISSION_DENIED,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=call.request.path[:200],
        detail={"right": needs.value, "method": call.request.method},
    )
    await call.services.recorder.record(entry, call.now_ms)


async def _record_look(call: Call, needs: Action) -> None:
    """An auditor's looking is on record, too."""
    entry = Entry(
        action=AuditAction.AUDITOR_READ,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=call.request.path_qs[:200],
        detail={"right": needs.value},
    )
    await call.services.recorder.record(entry, call.now_ms)
