"""Logging in and out, and enrolling: the routes that make somebody known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controld import (
    enrolment,
    logins,
    reauth,
    store_attempts,
    store_audit,
    store_factors,
    store_users,
)
from controld.api import Call, Open, Route
from controld.api_types import LoginRequest, LoginResponse, PasswordRequest
from controld.errors import ForbiddenError, InvalidError, UnauthenticatedError
from controld.passwords import complaint
from rclib.wire.audit import AuditAction
from rclib.wire.control_http import ENROL_PATH, EnrolRequest, EnrolResponse
from rclib.wire.link import LinkRefusal

if TYPE_CHECKING:
    from controld.records import User
    from controld.store import Tx
    from controld.store_attempts import Attempt

ENROLLED_ANEW: Final = "this endpoint was enrolled anew"


async def enrol(call: Call) -> EnrolResponse:
    """The one-time code decides who the asking end is from now on."""
    request = await call.body(EnrolRequest)
    if not enrolment.is_signed(request):
        raise ForbiddenError(
            "signature_invalid",
            "the request is not signed by the key it wants enrolled, over exactly this code",
        )
    services = call.services

    def work(tx: Tx) -> EnrolResponse | None:
        host, source = services.config.host, call.actor.source
        redeemed = enrolment.redeem(tx, request, host, source, call.now_ms)
        if redeemed is not None:
            # A link of the identity that this enrolment replaced must not live on.
            services.fleet.shut(tx, redeemed.endpoint, ENROLLED_ANEW)
        return redeemed

    response = await services.store.write(work)
    if response is None:
        raise enrolment.refused()
    services.hub.close(response.endpoint, LinkRefusal.UNKNOWN, ENROLLED_ANEW)
    return response


async def login(call: Call) -> LoginResponse:
    """Unknown name, wrong password and disabled account get one answer, in equal time.

    That a second factor is missing or wrong hears only who knows the password.
    """
    request = await call.body(LoginRequest)
    services = call.services
    user, attempt = await reauth.begin(call, request.name, request.device)
    stored = user.password_hash if user is not None else None
    matches = await services.passwords.matches(stored, request.password)
    if user is None or not matches or user.disabled:
        await reauth.failed(call, user, attempt)
        raise UnauthenticatedError("login_failed", "the name or the password is wrong")
    return await _sign_in(call, user, attempt, request)


async def change_password(call: Call) -> None:
    """Voids every token of the user, the one it was asked with included."""
    request = await call.body(PasswordRequest)
    services, user = call.services, call.user
    wrong = complaint(request.new, user_name=user.name)
    if wrong is not None:
        raise InvalidError("password_unfit", wrong)
    if request.new == request.old:
        raise InvalidError("password_unfit", "the new password is the old one")
    await reauth.check(call, request.old)
    new_hash = await services.passwords.hash(request.new)
    entry = reauth.entry(call, user, AuditAction.PASSWORD_CHANGED)

    def work(tx: Tx) -> None:
        store_attempts.forget(tx, store_users.name_key(user.name))
        store_attempts.forget_devices(tx, user.id)
        store_users.set_password(tx, user.id, new_hash, must_change=False)
        store_audit.append(tx, entry, call.now_ms)

    await services.store.write(work)


async def logout(call: Call) -> None:
    """Voids this login's token; others of the user live on."""
    entry = reauth.entry(call, call.user, AuditAction.LOGGED_OUT)

    def work(tx: Tx) -> None:
        store_users.remove_token(tx, call.token)
        store_audit.append(tx, entry, call.now_ms)

    await call.services.store.write(work)


ROUTES = (
    Route(
        method="POST",
        path=ENROL_PATH,
        needs=Open.ANYONE,
        handle=enrol,
        takes=EnrolRequest,
        gives=EnrolResponse,
    ),
    Route(
        method="POST",
        path="/api/v1/login",
        needs=Open.ANYONE,
        handle=login,
        takes=LoginRequest,
        gives=LoginResponse,
    ),
    Route(
        method="POST",
        path="/api/v1/password",
        needs=Open.SIGNED_IN,
        handle=change_password,
        takes=PasswordRequest,
    ),
    Route(method="POST", path="/api/v1/logout", needs=Open.SIGNED_IN, handle=logout),
)


async def _sign_in(
    call: Call, user: User, attempt: Attempt, request: LoginRequest
) -> LoginResponse:
    services = call.services

    def work(tx: Tx) -> LoginResponse | str:
        # Looked at again: checking the password took its time.
        current = store_users.get_user(tx, user.id)
        if current.disabled or current.password_hash != user.password_hash:
            return "login_failed"
        complaint_ = second_factor_complaint(tx, call, current, request.code)
        if complaint_:
            return complaint_
        store_attempts.succeed(tx, attempt)
        by = "password and code" if request.code else "password"
        return logins.let_in(tx, call, current, by, request.device)

    answer = await services.store.write(work)
    if isinstance(answer, LoginResponse):
        return answer
    if answer != "second_factor_required":
        await reauth.failed(call, user, attempt)
    raise UnauthenticatedError(answer, _REFUSED[answer])


def second_factor_complaint(tx: Tx, call: Call, user: User, code: str) -> str:
    """What is wrong with the second factor; empty where it is right, or none is needed."""
    if not store_factors.has_totp(tx, user.id):
        return ""
    if not code:
        return "second_factor_required"
    if code.isascii() and code.isdigit():
        sealer = call.services.sealer
        is_right = store_factors.spend_totp(tx, user.id, code, sealer, call.now_ms)
        return "" if is_right else "second_factor_wrong"
    if not store_factors.spend_recovery_code(tx, user.id, code, call.now_ms):
        return "second_factor_wrong"
    left = str(store_factors.recovery_codes_left(tx, user.id))
    entry = reauth.entry(call, user, AuditAction.RECOVERY_CODE_USED, {"left": left})
    store_audit.append(tx, entry, call.now_ms)
    return ""


_REFUSED: Final[dict[str, str]] = {
    "login_failed": "the name or the password is wrong",
    "second_factor_required": "send the code of the authenticator app, or a recovery code, too",
    "second_factor_wrong": "the code is wrong, was used before, or its time is over",
}
