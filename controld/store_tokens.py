"""Personal API tokens: for programs, with the rights they were made for and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import delete, func, insert, select

from controld.codes import digest, new_id
from controld.errors import ConflictError, NotFoundError
from controld.roles import Action
from controld.schema.people import personal_tokens, users
from controld.store_users import user_of_row
from rclib.wire.ids import TokenId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.records import User
    from controld.store import Tx
    from rclib.wire.ids import UserId

_scopes: Final = msgspec.json.Decoder(frozenset[Action])


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalToken:
    """What is known of a token besides itself."""

    id: TokenId
    name: str
    scopes: frozenset[Action]
    created_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A token that a user wants."""

    name: str
    scopes: frozenset[Action]
    expires_ms: int


def add_token(
    tx: Tx, user: UserId, token: str, wanted: Wanted, most: int, now_ms: int
) -> PersonalToken:
    """Keep a token's digest; raises ConflictError for a name in use, or too many."""
    own = personal_tokens.c.user == user
    tx.execute(delete(personal_tokens).where(own, personal_tokens.c.expires_ms <= now_ms))
    if (tx.scalar(select(func.count()).select_from(personal_tokens).where(own)) or 0) >= most:
        raise ConflictError("too_many_tokens", f"you have {most} tokens; remove one first")
    same = select(personal_tokens.c.id).where(own, personal_tokens.c.name == wanted.name)
    if tx.execute(same).first() is not None:
        raise ConflictError("name_taken", f"you have a token called {wanted.name!r} already")
    made = PersonalToken(
        id=TokenId(new_id("tok")),
        name=wanted.name,
        scopes=wanted.scopes,
        created_ms=now_ms,
        expires_ms=wanted.expires_ms,
    )
    tx.execute(
        insert(personal_tokens).values(
            id=made.id,
            user=user,
            name=made.name,
            token_digest=digest(token),
            scopes=msgspec.json.encode(sorted(made.scopes)).decode(),
            created_ms=made.created_ms,
            expires_ms=made.expires_ms,
        )
    )
    return made


def list_tokens(tx: Tx, user: UserId, now_ms: int) -> Sequence[PersonalToken]:
    query = (
        select(personal_tokens)
        .where(personal_tokens.c.user == user, personal_tokens.c.expires_ms > now_ms)
        .order_by(personal_tokens.c.name)
    )
    return [_token(row) for row in tx.execute(query).mappings()]


def remove_token(tx: Tx, user: UserId, token: TokenId) -> None:
    """Void one of the user's tokens; raises NotFoundError."""
    gone = tx.execute(
        delete(personal_tokens).where(personal_tokens.c.user == user, personal_tokens.c.id == token)
    )
    if gone.rowcount != 1:
        raise NotFoundError("token")


def user_of_token(tx: Tx, token: str, now_ms: int) -> tuple[User | None, frozenset[Action]]:
    """Whose live token this is, and what it is for; a disabled user has none."""
    query = (
        select(users, personal_tokens.c.scopes)
        .join(personal_tokens, personal_tokens.c.user == users.c.id)
        .where(
            personal_tokens.c.token_digest == digest(token),
            personal_tokens.c.expires_ms > now_ms,
            users.c.disabled_ms.is_(None),
        )
    )
    row = tx.execute(query).mappings().first()
    if row is None:
        return None, frozenset()
    return user_of_row(row), _scopes.decode(row["scopes"])


def _token(row: RowMapping) -> PersonalToken:
    return PersonalToken(
        id=row["id"],
        name=row["name"],
        scopes=_scopes.decode(row["scopes"]),
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
    )
