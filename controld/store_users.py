"""Organisations, users, their login attempts and their API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from controld.codes import digest, new_id
from controld.errors import ConflictError, NotFoundError
from controld.records import User
from controld.roles import Role
from controld.store_schema import api_tokens, login_attempts, organisations, users
from rclib.wire.ids import OrganisationId, UserId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx

ATTEMPTS_WINDOW_MS: Final = 10 * 60 * 1000
MAX_ATTEMPTS: Final = 10
MAX_REMEMBERED_ATTEMPTS: Final = 10_000
"""Of all names together: made-up names must not fill the disk."""


def add_organisation(tx: Tx, name: str, now_ms: int) -> OrganisationId:
    organisation = OrganisationId(new_id("org"))
    tx.execute(insert(organisations).values(id=organisation, name=name, created_ms=now_ms))
    return organisation


def has_organisations(tx: Tx) -> bool:
    return tx.execute(select(organisations.c.id).limit(1)).first() is not None


def organisation_name(tx: Tx, organisation: OrganisationId) -> str:
    query = select(organisations.c.name).where(organisations.c.id == organisation)
    return str(tx.execute(query).scalar_one())


def add_user(
    tx: Tx, organisation: OrganisationId, name: str, role: Role, password_hash: str, now_ms: int
) -> User:
    """Create a user with a one-time password; raises ConflictError for a name in use."""
    if find_user_by_name(tx, name) is not None:
        raise ConflictError("name_taken", f"there is a user called {name!r} already")
    user = UserId(new_id("usr"))
    tx.execute(
        insert(users).values(
            id=user,
            organisation=organisation,
            name=name,
            name_key=_name_key(name),
            role=role.value,
            password_hash=password_hash,
            must_change_password=True,
            created_ms=now_ms,
        )
    )
    return get_user(tx, user)


def get_user(tx: Tx, user: UserId, organisation: OrganisationId | None = None) -> User:
    """Read a user, of one organisation if named; raises NotFoundError."""
    row = tx.execute(select(users).where(users.c.id == user)).mappings().first()
    if row is None or (organisation is not None and row["organisation"] != organisation):
        raise NotFoundError("user")
    return _user(row)


def find_user_by_name(tx: Tx, name: str) -> User | None:
    row = tx.execute(select(users).where(users.c.name_key == _name_key(name))).mappings().first()
    return _user(row) if row is not None else None


def list_users(tx: Tx, organisation: OrganisationId) -> Sequence[User]:
    query = select(users).where(users.c.organisation == organisation).order_by(users.c.name_key)
    return [_user(row) for row in tx.execute(query).mappings()]


def set_password(tx: Tx, user: UserId, password_hash: str, *, must_change: bool) -> None:
    """Replace a password and void every token of the user."""
    tx.execute(
        update(users)
        .where(users.c.id == user)
        .values(password_hash=password_hash, must_change_password=must_change)
    )
    tx.execute(delete(api_tokens).where(api_tokens.c.user == user))


def disable_user(tx: Tx, user: UserId, now_ms: int) -> bool:
    """Disable a user and void every token; False if that was done before."""
    changed = tx.execute(
        update(users)
        .where(users.c.id == user, users.c.disabled_ms.is_(None))
        .values(disabled_ms=now_ms)
    )
    tx.execute(delete(api_tokens).where(api_tokens.c.user == user))
    return changed.rowcount == 1


def begin_attempt(tx: Tx, name: str, now_ms: int) -> bool:
    """Count a login attempt before its password is looked at; False: too many for this account.

    Counted first, so that attempts in parallel cannot all pass before the first one fails.
    Unknown names are counted alike, and so give nothing away.
    """
    key = digest(_name_key(name))
    tx.execute(delete(login_attempts).where(login_attempts.c.at_ms <= now_ms - ATTEMPTS_WINDOW_MS))
    query = select(func.count()).where(login_attempts.c.name_digest == key)
    if (tx.scalar(query) or 0) >= MAX_ATTEMPTS:
        return False
    tx.execute(insert(login_attempts).values(name_digest=key, at_ms=now_ms))
    excess = (
        select(login_attempts.c.id)
        .order_by(login_attempts.c.id.desc())
        .offset(MAX_REMEMBERED_ATTEMPTS)
        .limit(1)
        .scalar_subquery()
    )
    tx.execute(delete(login_attempts).where(login_attempts.c.id <= excess))
    return True


def forget_attempts(tx: Tx, name: str) -> None:
    tx.execute(
        delete(login_attempts).where(login_attempts.c.name_digest == digest(_name_key(name)))
    )


def add_token(tx: Tx, user: UserId, token: str, now_ms: int, expires_ms: int) -> None:
    tx.execute(delete(api_tokens).where(api_tokens.c.expires_ms <= now_ms))
    tx.execute(
        insert(api_tokens).values(
            token_digest=digest(token), user=user, created_ms=now_ms, expires_ms=expires_ms
        )
    )


def user_of_token(tx: Tx, token: str, now_ms: int) -> User | None:
    """Whose live token this is; a disabled user has none."""
    query = (
        select(users)
        .join(api_tokens, api_tokens.c.user == users.c.id)
        .where(
            api_tokens.c.token_digest == digest(token),
            api_tokens.c.expires_ms > now_ms,
            users.c.disabled_ms.is_(None),
        )
    )
    row = tx.execute(query).mappings().first()
    return _user(row) if row is not None else None


def remove_token(tx: Tx, token: str) -> None:
    tx.execute(delete(api_tokens).where(api_tokens.c.token_digest == digest(token)))


def _name_key(name: str) -> str:
    return name.strip().casefold()


def _user(row: RowMapping) -> User:
    return User(
        id=row["id"],
        organisation=row["organisation"],
        name=row["name"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        must_change_password=row["must_change_password"],
        disabled=row["disabled_ms"] is not None,
        created_ms=row["created_ms"],
    )
