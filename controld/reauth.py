"""Proving who one is: counted over all ways in, and what a failure leads to.

Every place that looks at a password or a code goes through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import store_attempts, store_audit, store_users
from controld.errors import ForbiddenError, TooManyError
from controld.login_policy import is_alarm
from controld.records import Actor, Entry
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from controld.api import Call
    from controld.records import User
    from controld.store import Tx
    from controld.store_attempts import Attempt


async def begin(call: Call, name: str, device: str = "") -> tuple[User | None, Attempt]:
    """Count an attempt before anything is checked; raises TooManyError."""
    services = call.services

    def work(tx: Tx) -> tuple[User | None, Attempt]:
        user = store_users.find_user_by_name(tx, name)
        key = store_users.name_key(name)
        owner = user.id if user is not None else None
        return user, store_attempts.begin(tx, key, owner, call.now_ms, device)

    user, attempt = await services.store.write(work)
    if not attempt.may_try:
        services.metrics.logins_failed.labels("too_many").inc()
        wait_s = -(-(attempt.wait_until_ms - call.now_ms) // 1000)
        raise TooManyError(
            "too_many_logins", f"too many failed logins for this account; wait {wait_s} s"
        )
    return user, attempt


async def failed(call: Call, user: User | None, attempt: Attempt) -> None:
    """Record a failure; made-up names are counted, but cannot fill the record."""
    call.services.metrics.logins_failed.labels("wrong").inc()
    if user is None:
        return

    def work(tx: Tx) -> None:
        store_users.count_failure(tx, user.id)
        store_audit.append(tx, entry(call, user, AuditAction.LOGIN_FAILED), call.now_ms)
        if is_alarm(attempt.failures):
            detail = {"failures": str(attempt.failures)}
            locked = entry(call, user, AuditAction.LOGIN_LOCKED, detail)
            store_audit.append(tx, locked, call.now_ms)

    await call.services.store.write(work)


async def check(call: Call, password: str) -> None:
    """Let who is logged in show their password; raises TooManyError, ForbiddenError."""
    user, attempt = await begin(call, call.user.name)
    stored = user.password_hash if user is not None else None
    if not await call.services.passwords.matches(stored, password):
        await failed(call, call.user, attempt)
        raise ForbiddenError("login_failed", "the password is wrong")
    await call.services.store.write(lambda tx: store_attempts.succeed(tx, attempt))


def entry(
    call: Call, user: User, action: AuditAction, detail: dict[str, str] | None = None
) -> Entry:
    """What `user` did, or what was done in their name, from the caller's address."""
    return Entry(
        action=action,
        organisation=user.organisation,
        actor=Actor(user.id, user.name, call.actor.source),
        subject=user.id,
        detail=detail,
    )
