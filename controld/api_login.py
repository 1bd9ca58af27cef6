"""Logging in and out, and enrolling: the routes that make somebody known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import enrolment, store_audit, store_users
from controld.api import Call, Open, Route
from controld.api_types import LoginRequest, LoginResponse, PasswordRequest
from controld.codes import new_token
from controld.errors import ForbiddenError, InvalidError, TooManyError, UnauthenticatedError
from controld.passwords import complaint
from controld.records import Actor, Entry
from rclib.wire.audit import AuditAction
from rclib.wire.control import EnrolRequest, EnrolResponse, LinkRefusal

if TYPE_CHECKING:
    from controld.records import User
    from controld.store import Tx


async def enrol(call: Call) -> EnrolResponse:
    """The one-time code decides who the asking end is from now on."""
    request = await call.body(EnrolRequest)
    if not enrolment.is_signed(request):
        raise ForbiddenError(
            "signature_invalid",
            "the request is not signed by the key it wants enrolled, over exactly this code",
        )
    services = call.services
    response = await services.store.write(
        lambda tx: enrolment.redeem(
            tx, request, services.config.host, call.actor.source, call.now_ms
        )
    )
    if response is None:
        raise enrolment.refused()
    # A link of the identity that this enrolment replaced must not live on.
    services.hub.close(response.endpoint, LinkRefusal.UNKNOWN, "this endpoint was enrolled anew")
    return response


async def login(call: Call) -> LoginResponse:
    """Unknown name, wrong password and disabled account get one answer, in equal time."""
    request = await call.body(LoginRequest)
    services = call.services

    def begin(tx: Tx) -> tuple[User | None, bool]:
        return (
            store_users.find_user_by_name(tx, request.name),
            store_users.begin_attempt(tx, request.name, call.now_ms),
        )

    user, may_try = await services.store.write(begin)
    if not may_try:
        services.metrics.logins_failed.labels("too_many").inc()
        raise TooManyError(
            "too_many_logins", "too many failed logins for this account; wait ten minutes"
        )
    stored = user.password_hash if user is not None else None
    matches = await services.passwords.matches(stored, request.password)
    if user is None or not matches or user.disabled:
        services.metrics.logins_failed.labels("wrong").inc()
        if user is not None:  # made-up names are counted, but cannot fill the record
            await _record(call, user, AuditAction.LOGIN_FAILED)
        raise UnauthenticatedError("login_failed", "the name or the password is wrong")
    return await _sign_in(call, user)


async def change_password(call: Call) -> None:
    """Voids every token of the user, the one it was asked with included."""
    request = await call.body(PasswordRequest)
    services, user = call.services, call.user
    wrong = complaint(request.new, user_name=user.name)
    if wrong is not None:
        raise InvalidError("password_unfit", wrong)
    if request.new == request.old:
        raise InvalidError("password_unfit", "the new password is the old one")
    if not await services.store.write(
        lambda tx: store_users.begin_attempt(tx, user.name, call.now_ms)
    ):
        raise TooManyError("too_many_logins", "too many wrong passwords; wait ten minutes")
    if not await services.passwords.matches(user.password_hash, request.old):
        await _record(call, user, AuditAction.LOGIN_FAILED)
        raise ForbiddenError("login_failed", "the old password is wrong")
    new_hash = await services.passwords.hash(request.new)
    entry = _entry(call, user, AuditAction.PASSWORD_CHANGED)

    def work(tx: Tx) -> None:
        store_users.forget_attempts(tx, user.name)
        store_users.set_password(tx, user.id, new_hash, must_change=False)
        store_audit.append(tx, entry, call.now_ms)

    await services.store.write(work)


async def logout(call: Call) -> None:
    await call.services.store.write(lambda tx: store_users.remove_token(tx, call.token))


ROUTES = (
    Route("POST", "/api/v1/enrol", Open.ANYONE, enrol),
    Route("POST", "/api/v1/login", Open.ANYONE, login),
    Route("POST", "/api/v1/password", Open.SIGNED_IN, change_password),
    Route("POST", "/api/v1/logout", Open.SIGNED_IN, logout),
)


async def _sign_in(call: Call, user: User) -> LoginResponse:
    token = new_token()
    expires_ms = call.now_ms + call.services.config.times.api_token_s * 1000
    entry = _entry(call, user, AuditAction.LOGIN_SUCCEEDED)

    def work(tx: Tx) -> User | None:
        # Looked at again: checking the password took its time.
        current = store_users.get_user(tx, user.id)
        if current.disabled or current.password_hash != user.password_hash:
            return None
        store_users.forget_attempts(tx, user.name)
        store_users.add_token(tx, user.id, token, call.now_ms, expires_ms)
        store_audit.append(tx, entry, call.now_ms)
        return current

    current = await call.services.store.write(work)
    if current is None:
        raise UnauthenticatedError("login_failed", "the name or the password is wrong")
    return LoginResponse(token, user.id, user.role, current.must_change_password, expires_ms)


async def _record(call: Call, user: User, action: AuditAction) -> None:
    entry = _entry(call, user, action)
    await call.services.store.write(lambda tx: store_audit.append(tx, entry, call.now_ms))


def _entry(call: Call, user: User, action: AuditAction) -> Entry:
    return Entry(
        action=action,
        organisation=user.organisation,
        actor=Actor(user.id, user.name, call.actor.source),
        subject=user.id,
    )
