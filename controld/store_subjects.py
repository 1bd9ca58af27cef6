"""Who a user is to a provider of identities: (issuer, subject), and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from controld.errors import ConflictError
from controld.schema.people import oidc_subjects
from rclib.wire.ids import UserId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.store import Tx


def find_user_of(tx: Tx, issuer: str, subject: str) -> UserId | None:
    found = tx.scalar(
        select(oidc_subjects.c.user).where(
            oidc_subjects.c.issuer == issuer, oidc_subjects.c.subject == subject
        )
    )
    return UserId(found) if found is not None else None


def link(tx: Tx, user: UserId, issuer: str, subject: str, now_ms: int) -> None:
    """Raises ConflictError for one that is linked, or a second one of the same provider."""
    if find_user_of(tx, issuer, subject) is not None:
        raise ConflictError("subject_taken", "this account of the provider is linked already")
    if issuer in issuers_of(tx, user):
        raise ConflictError("provider_linked", "there is a link to this provider; remove it first")
    values = {"issuer": issuer, "subject": subject, "user": user, "created_ms": now_ms}
    tx.execute(insert(oidc_subjects).values(values))


def issuers_of(tx: Tx, user: UserId) -> Sequence[str]:
    query = select(oidc_subjects.c.issuer).where(oidc_subjects.c.user == user)
    return [row.issuer for row in tx.execute(query)]


def unlink(tx: Tx, user: UserId, issuer: str) -> bool:
    """Whether there was a link."""
    gone = tx.execute(
        delete(oidc_subjects).where(oidc_subjects.c.user == user, oidc_subjects.c.issuer == issuer)
    )
    return gone.rowcount == 1


def remove_all(tx: Tx, user: UserId) -> bool:
    """Whether there was one."""
    return tx.execute(delete(oidc_subjects).where(oidc_subjects.c.user == user)).rowcount > 0
