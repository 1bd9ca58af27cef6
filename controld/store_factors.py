"""Second factors: the authenticator app's secret, and recovery codes for the day it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from controld import totp
from controld.codes import digest, new_password, normal_code
from controld.schema.people import recovery_codes, totp_secrets

if TYPE_CHECKING:
    from controld.sealing import Sealer
    from controld.store import Tx
    from rclib.wire.ids import UserId

RECOVERY_CODES: Final = 10


def has_totp(tx: Tx, user: UserId) -> bool:
    """Whether logging in takes a code; a secret never confirmed asks for none."""
    query = select(totp_secrets.c.user).where(
        totp_secrets.c.user == user, totp_secrets.c.confirmed_ms.is_not(None)
    )
    return tx.execute(query).first() is not None


def begin_totp(tx: Tx, user: UserId, sealed: bytes) -> None:
    """Keep a secret until its first code confirms it; replaces one that never was."""
    tx.execute(delete(totp_secrets).where(totp_secrets.c.user == user))
    tx.execute(insert(totp_secrets).values(user=user, sealed_secret=sealed, last_step=0))


def spend_totp(tx: Tx, user: UserId, code: str, sealer: Sealer, now_ms: int) -> bool:
    """Check a code and use its step up; one not confirmed yet counts, too."""
    row = tx.execute(select(totp_secrets).where(totp_secrets.c.user == user)).first()
    secret = sealer.unseal(row.sealed_secret, user) if row is not None else None
    if row is None or secret is None:
        return False
    step = totp.step_of(secret, code, now_ms, row.last_step)
    if step is None:
        return False
    used = tx.execute(
        update(totp_secrets)
        .where(totp_secrets.c.user == user, totp_secrets.c.last_step < step)
        .values(last_step=step)
    )
    return used.rowcount == 1


def confirm_totp(tx: Tx, user: UserId, now_ms: int) -> tuple[str, ...]:
    """From now on logging in takes a code; returns the recovery codes, this once."""
    tx.execute(update(totp_secrets).where(totp_secrets.c.user == user).values(confirmed_ms=now_ms))
    codes = tuple(new_password() for _ in range(RECOVERY_CODES))
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user == user))
    rows = [{"code_digest": digest(code), "user": user} for code in codes]
    tx.execute(insert(recovery_codes), rows)
    return codes


def spend_recovery_code(tx: Tx, user: UserId, code: str, now_ms: int) -> bool:
    spent = tx.execute(
        update(recovery_codes)
        .where(
            recovery_codes.c.code_digest == digest(normal_code(code)),
            recovery_codes.c.user == user,
            recovery_codes.c.used_ms.is_(None),
        )
        .values(used_ms=now_ms)
    )
    return spent.rowcount == 1


def recovery_codes_left(tx: Tx, user: UserId) -> int:
    query = select(func.count()).where(
        recovery_codes.c.user == user, recovery_codes.c.used_ms.is_(None)
    )
    return tx.scalar(query) or 0


def remove_totp(tx: Tx, user: UserId) -> bool:
    """Whether there was a confirmed one."""
    had = has_totp(tx, user)
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user == user))
    tx.execute(delete(totp_secrets).where(totp_secrets.c.user == user))
    return had
