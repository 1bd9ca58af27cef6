"""Letting somebody in: the one place where a login comes into being, whatever proved it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import reauth, store_attempts, store_audit, store_users
from controld.api_types import LoginResponse
from controld.codes import new_token
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from controld.api import Call
    from controld.records import User
    from controld.store import Tx


def let_in(tx: Tx, call: Call, user: User, by: str, device: str = "") -> LoginResponse:
    """A new login with an id of its own; `by` says on record what proved it."""
    token, device = new_token(), device or new_token()
    times = call.services.config.times
    expires_ms = call.now_ms + times.api_token_s * 1000
    store_attempts.remember_device(tx, user.id, device, call.now_ms)
    store_users.add_token(tx, user.id, token, call.now_ms, expires_ms, times.login_idle_s * 1000)
    entry = reauth.entry(call, user, AuditAction.LOGIN_SUCCEEDED, {"by": by})
    store_audit.append(tx, entry, call.now_ms)
    return LoginResponse(
        token=token,
        user=user.id,
        role=user.role,
        must_change_password=user.must_change_password,
        expires_ms=expires_ms,
        device=device,
        failed_logins=store_users.take_failures(tx, user.id),
    )
