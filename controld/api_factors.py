"""The caller's own second factor: an authenticator app, confirmed by its first code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import reauth, store_attempts, store_audit, store_factors, totp
from controld.api import Call, Open, Route
from controld.api_types import (
    FactorsView,
    ReauthRequest,
    RecoveryCodes,
    TotpCode,
    TotpStarted,
)
from controld.errors import ConflictError, ForbiddenError
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from controld.store import Tx


async def show(call: Call) -> FactorsView:
    def work(tx: Tx) -> FactorsView:
        return FactorsView(
            totp=store_factors.has_totp(tx, call.user.id),
            recovery_codes_left=store_factors.recovery_codes_left(tx, call.user.id),
        )

    return await call.services.store.read(work)


async def start_totp(call: Call) -> TotpStarted:
    """A secret for the app; it counts from its first code on."""
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)
    user, secret = call.user, totp.new_secret()
    sealed = call.services.sealer.seal(secret, user.id)

    def work(tx: Tx) -> None:
        if store_factors.has_totp(tx, user.id):
            raise ConflictError("has_totp", "there is an app already; remove that one first")
        store_factors.begin_totp(tx, user.id, sealed)

    await call.services.store.write(work)
    return TotpStarted(secret, totp.uri_of(secret, user.name, call.services.config.host))


async def confirm_totp(call: Call) -> RecoveryCodes:
    request = await call.body(TotpCode)
    _, attempt = await reauth.begin(call, call.user.name)
    user, sealer = call.user, call.services.sealer

    def work(tx: Tx) -> tuple[str, ...] | None:
        if store_factors.has_totp(tx, user.id):
            raise ConflictError("has_totp", "there is an app already; remove that one first")
        if not store_factors.spend_totp(tx, user.id, request.code, sealer, call.now_ms):
            return None
        store_attempts.succeed(tx, attempt)
        added = reauth.entry(call, user, AuditAction.SECOND_FACTOR_ADDED, {"kind": "totp"})
        store_audit.append(tx, added, call.now_ms)
        return store_factors.confirm_totp(tx, user.id, call.now_ms)

    codes = await call.services.store.write(work)
    if codes is None:
        await reauth.failed(call, user, attempt)
        raise ForbiddenError("second_factor_wrong", "the code is wrong; is the app's clock right?")
    return RecoveryCodes(codes)


async def remove_totp(call: Call) -> None:
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)
    user = call.user

    def work(tx: Tx) -> None:
        if store_factors.remove_totp(tx, user.id):
            removed = reauth.entry(call, user, AuditAction.SECOND_FACTOR_REMOVED, {"kind": "totp"})
            store_audit.append(tx, removed, call.now_ms)

    await call.services.store.write(work)


_TOTP = "/api/v1/account/totp"
ROUTES = (
    Route("GET", "/api/v1/account/factors", Open.SIGNED_IN, show, gives=FactorsView),
    Route("POST", _TOTP, Open.SIGNED_IN, start_totp, takes=ReauthRequest, gives=TotpStarted),
    Route(
        "POST",
        f"{_TOTP}/confirm",
        Open.SIGNED_IN,
        confirm_totp,
        takes=TotpCode,
        gives=RecoveryCodes,
    ),
    Route("POST", f"{_TOTP}/remove", Open.SIGNED_IN, remove_totp, takes=ReauthRequest),
)
