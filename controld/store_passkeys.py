"""Passkeys, and the challenges that were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, insert, select, update

from controld.codes import digest_of
from controld.errors import ConflictError
from controld.passkeys import Passkey
from controld.schema.people import passkeys, spent_challenges
from rclib.wire.ids import UserId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.store import Tx

MAX_PASSKEYS: Final = 20


class Named(NamedTuple):
    """One of a user's passkeys, as they know it."""

    credential_id: bytes
    name: str
    created_ms: int


def spend_challenge(tx: Tx, challenge: bytes, now_ms: int, keep_ms: int) -> bool:
    """Use a challenge up; False if it was before."""
    tx.execute(delete(spent_challenges).where(spent_challenges.c.expires_ms <= now_ms))
    key = digest_of(challenge)
    known = select(spent_challenges.c.expires_ms).where(spent_challenges.c.challenge_digest == key)
    if tx.execute(known).first() is not None:
        return False
    values = {"challenge_digest": key, "expires_ms": now_ms + keep_ms}
    tx.execute(insert(spent_challenges).values(values))
    return True


def add_passkey(tx: Tx, user: UserId, name: str, passkey: Passkey, now_ms: int) -> None:
    """Raises ConflictError for one that is enrolled, or one too many."""
    found = list_passkeys(tx, user)
    if len(found) >= MAX_PASSKEYS:
        raise ConflictError("too_many_passkeys", f"at most {MAX_PASSKEYS}; remove one first")
    if find_passkey(tx, passkey.credential_id) is not None:
        raise ConflictError("passkey_known", "this passkey is enrolled already")
    tx.execute(
        insert(passkeys).values(
            credential_id=passkey.credential_id,
            user=user,
            name=name,
            public_key=passkey.public_key,
            sign_count=passkey.sign_count,
            created_ms=now_ms,
        )
    )


def find_passkey(tx: Tx, credential_id: bytes) -> tuple[Passkey, UserId] | None:
    query = select(passkeys).where(passkeys.c.credential_id == credential_id)
    row = tx.execute(query).first()
    if row is None:
        return None
    return Passkey(row.credential_id, row.public_key, row.sign_count), UserId(row.user)


def list_passkeys(tx: Tx, user: UserId) -> Sequence[Named]:
    query = (
        select(passkeys.c.credential_id, passkeys.c.name, passkeys.c.created_ms)
        .where(passkeys.c.user == user)
        .order_by(passkeys.c.created_ms, passkeys.c.credential_id)
    )
    return [Named(*row) for row in tx.execute(query)]


def note_use(tx: Tx, credential_id: bytes, sign_count: int) -> None:
    tx.execute(
        update(passkeys)
        .where(passkeys.c.credential_id == credential_id)
        .values(sign_count=sign_count)
    )


def remove_passkey(tx: Tx, user: UserId, credential_id: bytes) -> bool:
    gone = tx.execute(
        delete(passkeys).where(passkeys.c.user == user, passkeys.c.credential_id == credential_id)
    )
    return gone.rowcount == 1


def remove_all(tx: Tx, user: UserId) -> bool:
    """Whether there was one."""
    return tx.execute(delete(passkeys).where(passkeys.c.user == user)).rowcount > 0
