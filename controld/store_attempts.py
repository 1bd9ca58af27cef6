"""Failed logins, counted by account before anything is checked, and kept over restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from controld.codes import digest
from controld.login_policy import MEMORY_MS, may_try_from_ms
from controld.schema.people import known_devices, login_attempts

if TYPE_CHECKING:
    from controld.store import Tx
    from rclib.wire.ids import UserId

MAX_MADE_UP: Final = 10_000
"""Attempts remembered for names nobody has: they must not fill the disk."""
DEVICE_MS: Final = 90 * 24 * 60 * 60 * 1000
MAX_DEVICES: Final = 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as counted."""

    key: bytes
    may_try: bool
    failures: int
    """In a row, this one included, if it turns out to be one."""
    wait_until_ms: int


def begin(tx: Tx, name_key: str, user: UserId | None, now_ms: int, device: str = "") -> Attempt:
    """Count an attempt before its password is looked at.

    Counted first, so that attempts in parallel cannot all pass before the first one fails.
    Unknown names are counted alike, and so give nothing away. A browser in which the user has
    logged in before is counted by itself: who fails from elsewhere cannot lock the owner out.
    """
    tx.execute(delete(login_attempts).where(login_attempts.c.at_ms <= now_ms - MEMORY_MS))
    is_at_home = user is not None and _is_known(tx, user, device, now_ms)
    key = digest(f"{name_key}\n{device}" if is_at_home else name_key)
    query = (
        select(login_attempts.c.at_ms)
        .where(login_attempts.c.name_digest == key)
        .order_by(login_attempts.c.at_ms)
    )
    times = list(tx.scalars(query))
    wait_until_ms = may_try_from_ms(times)
    if now_ms < wait_until_ms:
        return Attempt(key, may_try=False, failures=len(times), wait_until_ms=wait_until_ms)
    values = {"name_digest": key, "at_ms": now_ms, "is_made_up": user is None}
    tx.execute(insert(login_attempts).values(values))
    if user is None:
        _forget_made_up(tx)
    return Attempt(key, may_try=True, failures=len(times) + 1, wait_until_ms=0)


def succeed(tx: Tx, attempt: Attempt) -> None:
    """It was none of the failures, and those before it are over. Others' stay counted."""
    tx.execute(delete(login_attempts).where(login_attempts.c.name_digest == attempt.key))


def forget(tx: Tx, name_key: str) -> None:
    """An administrator, or a new password, lets the account start afresh."""
    tx.execute(delete(login_attempts).where(login_attempts.c.name_digest == digest(name_key)))


def remember_device(tx: Tx, user: UserId, device: str, now_ms: int) -> None:
    """From now on this browser is one of the user's own; the oldest of too many is none."""
    mine = known_devices.c.user == user
    tx.execute(delete(known_devices).where(known_devices.c.expires_ms <= now_ms))
    tx.execute(delete(known_devices).where(known_devices.c.token_digest == digest(device)))
    kept = list(
        tx.scalars(
            select(known_devices.c.token_digest)
            .where(mine)
            .order_by(known_devices.c.expires_ms.desc())
            .limit(MAX_DEVICES - 1)
        )
    )
    tx.execute(delete(known_devices).where(mine, known_devices.c.token_digest.not_in(kept)))
    tx.execute(
        insert(known_devices).values(
            token_digest=digest(device), user=user, expires_ms=now_ms + DEVICE_MS
        )
    )


def forget_devices(tx: Tx, user: UserId) -> None:
    tx.execute(delete(known_devices).where(known_devices.c.user == user))


def _is_known(tx: Tx, user: UserId, device: str, now_ms: int) -> bool:
    query = select(known_devices.c.user).where(
        known_devices.c.token_digest == digest(device),
        known_devices.c.user == user,
        known_devices.c.expires_ms > now_ms,
    )
    return bool(device) and tx.execute(query).first() is not None


def _forget_made_up(tx: Tx) -> None:
    made_up = login_attempts.c.is_made_up.is_(True)
    excess = (
        select(login_attempts.c.id)
        .where(made_up)
        .order_by(login_attempts.c.id.desc())
        .offset(MAX_MADE_UP)
        .limit(1)
        .scalar_subquery()
    )
    tx.execute(delete(login_attempts).where(made_up, login_attempts.c.id <= excess))
