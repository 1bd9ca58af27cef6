"""Users and their logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from controld.codes import digest, new_id
from controld.errors import ChangedError, ConflictError, NotFoundError
from controld.records import User
from controld.roles import Role
from controld.schema.people import api_tokens, users
from rclib.wire.ids import UserId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx
    from rclib.wire.ids import OrganisationId

TOUCHES: Final = 20
"""Notes of use in one idle time: the login of somebody who works may end that much early."""


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
            name_key=name_key(name),
            role=role.value,
            password_hash=password_hash,
            must_change_password=True,
            failed_logins=0,
            revision=1,
            created_ms=now_ms,
        )
    )
    return get_user(tx, user)


def get_user(tx: Tx, user: UserId, organisation: OrganisationId | None = None) -> User:
    """Read a user, of one organisation if named; raises NotFoundError."""
    row = tx.execute(select(users).where(users.c.id == user)).mappings().first()
    if row is None or (organisation is not None and row["organisation"] != organisation):
        raise NotFoundError("user")
    return user_of_row(row)


def find_user_by_name(tx: Tx, name: str) -> User | None:
    row = tx.execute(select(users).where(users.c.name_key == name_key(name))).mappings().first()
    return user_of_row(row) if row is not None else None


def list_users(tx: Tx, organisation: OrganisationId) -> Sequence[User]:
    query = select(users).where(users.c.organisation == organisation).order_by(users.c.name_key)
    return [user_of_row(row) for row in tx.execute(query).mappings()]


def set_password(tx: Tx, user: UserId, password_hash: str, *, must_change: bool) -> None:
    """Replace a password and void every token of the user."""
    tx.execute(
        update(users)
        .where(users.c.id == user)
        .values(password_hash=password_hash, must_change_password=must_change)
    )
    void_logins(tx, user)


def disable_user(tx: Tx, user: UserId, now_ms: int) -> bool:
    """Disable a user and void every token; False if that was done before."""
    changed = tx.execute(
        update(users)
        .where(users.c.id == user, users.c.disabled_ms.is_(None))
        .values(disabled_ms=now_ms, revision=users.c.revision + 1)
    )
    void_logins(tx, user)
    return changed.rowcount == 1


def set_role(tx: Tx, user: UserId, role: Role, revision: int) -> User:
    """Give the user of exactly `revision` a role and void every token; raises ChangedError."""
    changed = tx.execute(
        update(users)
        .where(users.c.id == user, users.c.revision == revision)
        .values(role=role.value, revision=revision + 1)
    )
    if changed.rowcount != 1:
        raise ChangedError("user")
    void_logins(tx, user)
    return get_user(tx, user)


def check_not_last(tx: Tx, user: User) -> None:
    """Raise ConflictError for the only administrator of an organisation who can log in."""
    others = select(func.count()).where(
        users.c.organisation == user.organisation,
        users.c.role == Role.ADMINISTRATOR.value,
        users.c.disabled_ms.is_(None),
        users.c.id != user.id,
    )
    if user.role is Role.ADMINISTRATOR and not user.disabled and not tx.scalar(others):
        raise ConflictError(
            "last_administrator",
            "this is the organisation's only administrator; make somebody else one first",
        )


def void_logins(tx: Tx, user: UserId) -> None:
    """Let the user log in anew, everywhere."""
    tx.execute(delete(api_tokens).where(api_tokens.c.user == user))


def count_failure(tx: Tx, user: UserId) -> None:
    """One more failed login that the owner is told about when they are in."""
    values = {"failed_logins": users.c.failed_logins + 1}
    tx.execute(update(users).where(users.c.id == user).values(values))


def take_failures(tx: Tx, user: UserId) -> int:
    """How many logins failed since the last time this was asked."""
    count = tx.scalar(select(users.c.failed_logins).where(users.c.id == user)) or 0
    tx.execute(update(users).where(users.c.id == user).values(failed_logins=0))
    return count


def add_token(tx: Tx, user: UserId, token: str, now_ms: int, expires_ms: int, idle_ms: int) -> None:
    """A login lasts until `expires_ms` at most, and ends when it is idle for `idle_ms`."""
    tx.execute(delete(api_tokens).where(api_tokens.c.expires_ms <= now_ms))
    tx.execute(
        insert(api_tokens).values(
            token_digest=digest(token),
            user=user,
            created_ms=now_ms,
            expires_ms=expires_ms,
            idle_until_ms=now_ms + idle_ms,
        )
    )


def is_touch_due(tx: Tx, token: str, now_ms: int, idle_ms: int) -> bool:
    """Whether a login's use has to be noted: not at each request, that would be a write each."""
    query = select(api_tokens.c.idle_until_ms).where(api_tokens.c.token_digest == digest(token))
    idle_until_ms = tx.scalar(query)
    return idle_until_ms is not None and now_ms + idle_ms - idle_until_ms >= idle_ms // TOUCHES


def touch(tx: Tx, token: str, now_ms: int, idle_ms: int) -> None:
    """Note that a login is in use; one that is over stays over."""
    tx.execute(
        update(api_tokens)
        .where(
            api_tokens.c.token_digest == digest(token),
            api_tokens.c.idle_until_ms > now_ms,
            api_tokens.c.idle_until_ms < now_ms + idle_ms,
        )
        .values(idle_until_ms=now_ms + idle_ms)
    )


def user_of_token(tx: Tx, token: str, now_ms: int) -> User | None:
    """Whose live token this is; a disabled user has none."""
    query = (
        select(users)
        .join(api_tokens, api_tokens.c.user == users.c.id)
        .where(
            api_tokens.c.token_digest == digest(token),
            api_tokens.c.expires_ms > now_ms,
            api_tokens.c.idle_until_ms > now_ms,
            users.c.disabled_ms.is_(None),
        )
    )
    row = tx.execute(query).mappings().first()
    return user_of_row(row) if row is not None else None


def remove_token(tx: Tx, token: str) -> None:
    tx.execute(delete(api_tokens).where(api_tokens.c.token_digest == digest(token)))


def name_key(name: str) -> str:
    return name.strip().casefold()


def user_of_row(row: RowMapping) -> User:
    return User(
        id=row["id"],
        organisation=row["organisation"],
        name=row["name"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        must_change_password=row["must_change_password"],
        disabled=row["disabled_ms"] is not None,
        revision=row["revision"],
        created_ms=row["created_ms"],
    )
