"""The caller's own passkeys, and logging in with one.

A passkey cannot be guessed, so it opens also while too many guesses have shut the account to
passwords. It counts as both factors: no code is asked for.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import msgspec

from controld import logins, passkeys, reauth, store_audit, store_passkeys, store_users
from controld.api import Call, Open, Route
from controld.api_types import LoginResponse, PlainName, ReauthRequest
from controld.errors import ForbiddenError, InvalidError, NotFoundError, UnauthenticatedError
from controld.passkeys import LOGIN, REGISTRATION, Answer, Site
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.session import Milliseconds

if TYPE_CHECKING:
    from controld.store import Tx

CredentialText = Annotated[str, msgspec.Meta(max_length=20_000)]


class PasskeyOptions(Struct, frozen=True):
    options: str
    """JSON for the browser's navigator.credentials."""


class PasskeyRequest(Struct, frozen=True):
    name: PlainName
    credential: CredentialText
    """JSON of what navigator.credentials.create returned."""


class PasskeyLogin(Struct, frozen=True):
    credential: CredentialText
    """JSON of what navigator.credentials.get returned."""


class PasskeyView(Struct, frozen=True):
    id: str
    name: str
    created_ms: Milliseconds


class PasskeyList(Struct, frozen=True):
    passkeys: tuple[PasskeyView, ...]


async def list_(call: Call) -> PasskeyList:
    rows = await call.services.store.read(lambda tx: store_passkeys.list_passkeys(tx, call.user.id))
    return PasskeyList(
        tuple(PasskeyView(passkeys.spelt(r.credential_id), r.name, r.created_ms) for r in rows)
    )


async def begin(call: Call) -> PasskeyOptions:
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)
    user = call.user
    rows = await call.services.store.read(lambda tx: store_passkeys.list_passkeys(tx, user.id))
    challenge = passkeys.new_challenge(call.services.sealer, REGISTRATION + user.id, call.now_ms)
    known = [row.credential_id for row in rows]
    return PasskeyOptions(passkeys.registration_options(_site(call), user, known, challenge))


async def add(call: Call) -> None:
    request = await call.body(PasskeyRequest)
    answer = _answer(call, request.credential, REGISTRATION + call.user.id)
    passkey = passkeys.check_registration(answer, _site(call)) if answer is not None else None
    if answer is None or passkey is None:
        raise ForbiddenError("passkey_refused", "the answer is not good, or came too late")

    def work(tx: Tx) -> None:
        if not _spend(tx, call, answer):
            raise ForbiddenError("passkey_refused", "this answer was used before")
        store_passkeys.add_passkey(tx, call.user.id, request.name, passkey, call.now_ms)
        detail = {"kind": "passkey", "name": request.name}
        added = reauth.entry(call, call.user, AuditAction.SECOND_FACTOR_ADDED, detail)
        store_audit.append(tx, added, call.now_ms)

    await call.services.store.write(work)


async def remove(call: Call) -> None:
    try:
        wanted = passkeys.unspelt(call.request.match_info["passkey"])
    except ValueError:
        raise NotFoundError("passkey") from None
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)

    def work(tx: Tx) -> None:
        if not store_passkeys.remove_passkey(tx, call.user.id, wanted):
            raise NotFoundError("passkey")
        detail = {"kind": "passkey"}
        removed = reauth.entry(call, call.user, AuditAction.SECOND_FACTOR_REMOVED, detail)
        store_audit.append(tx, removed, call.now_ms)

    await call.services.store.write(work)


async def begin_login(call: Call) -> PasskeyOptions:
    challenge = passkeys.new_challenge(call.services.sealer, LOGIN, call.now_ms)
    return PasskeyOptions(passkeys.login_options(_site(call), challenge))


async def login(call: Call) -> LoginResponse:
    request = await call.body(PasskeyLogin)
    answer = _answer(call, request.credential, LOGIN)

    def work(tx: Tx) -> LoginResponse | None:
        found = store_passkeys.find_passkey(tx, answer.credential_id) if answer else None
        if answer is None or found is None:
            return None
        passkey, owner = found
        user = store_users.get_user(tx, owner)
        count = passkeys.check_login(answer, passkey, _site(call))
        if count is None or user.disabled or not _spend(tx, call, answer):
            store_users.count_failure(tx, user.id)
            detail = {"by": "passkey"}
            entry = reauth.entry(call, user, AuditAction.LOGIN_FAILED, detail)
            store_audit.append(tx, entry, call.now_ms)
            return None
        store_passkeys.note_use(tx, passkey.credential_id, count)
        return logins.let_in(tx, call, user, "passkey")

    made = await call.services.store.write(work)
    if made is None:
        call.services.metrics.logins_failed.labels("wrong").inc()
        raise UnauthenticatedError("login_failed", "this passkey opens nothing here")
    return made


_PASSKEYS = "/api/v1/account/passkeys"
ROUTES = (
    Route("GET", _PASSKEYS, Open.SIGNED_IN, list_, gives=PasskeyList),
    Route(
        "POST",
        f"{_PASSKEYS}/options",
        Open.SIGNED_IN,
        begin,
        takes=ReauthRequest,
        gives=PasskeyOptions,
    ),
    Route("POST", _PASSKEYS, Open.SIGNED_IN, add, HTTPStatus.NO_CONTENT, takes=PasskeyRequest),
    Route("POST", f"{_PASSKEYS}/{{passkey}}/remove", Open.SIGNED_IN, remove, takes=ReauthRequest),
    Route("POST", "/api/v1/login/passkey/options", Open.ANYONE, begin_login, gives=PasskeyOptions),
    Route(
        "POST",
        "/api/v1/login/passkey",
        Open.ANYONE,
        login,
        takes=PasskeyLogin,
        gives=LoginResponse,
    ),
)


def _site(call: Call) -> Site:
    """The host's name and the origin that a browser shows for the portal; raises InvalidError."""
    services = call.services
    host = services.config.host
    if ":" in host or host.replace(".", "").isdigit():
        raise InvalidError("no_passkeys", "passkeys need a host name; this host is an address")
    return Site(host, services.origin)


def _answer(call: Call, text: str, purpose: str) -> Answer | None:
    """What was answered, if it answers a question of ours."""
    answer = passkeys.read_answer(text)
    if answer is None:
        return None
    sealer = call.services.sealer
    is_own = passkeys.is_own_challenge(sealer, answer.challenge, purpose, call.now_ms)
    return answer if is_own else None


def _spend(tx: Tx, call: Call, answer: Answer) -> bool:
    keep_ms = passkeys.CHALLENGE_MS
    return store_passkeys.spend_challenge(tx, answer.challenge, call.now_ms, keep_ms)
