"""A user's own API tokens for programs. No token makes another one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from controld import store_audit, store_tokens
from controld.api import PERSONAL_PREFIX, Call, Open, Route
from controld.api_types import PlainName
from controld.codes import new_token
from controld.errors import ForbiddenError
from controld.records import Entry
from controld.roles import Action, Scope, scope_of
from controld.store_tokens import Wanted
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.ids import TokenId
from rclib.wire.session import Milliseconds

if TYPE_CHECKING:
    from controld.store import Tx
    from controld.store_tokens import PersonalToken

MAX_DAYS: Final = 366


class TokenRequest(Struct, frozen=True):
    name: PlainName
    scopes: Annotated[tuple[Action, ...], msgspec.Meta(min_length=1, max_length=len(Action))]
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)]


class TokenView(Struct, frozen=True):
    id: TokenId
    name: str
    scopes: tuple[Action, ...]
    created_ms: Milliseconds
    expires_ms: Milliseconds


class TokenCreated(Struct, frozen=True):
    token: str
    """Shown only now."""
    view: TokenView


class TokenList(Struct, frozen=True):
    tokens: tuple[TokenView, ...]


async def list_(call: Call) -> TokenList:
    found = await call.services.store.read(
        lambda tx: store_tokens.list_tokens(tx, call.user.id, call.now_ms)
    )
    return TokenList(tuple(_view(token) for token in found))


async def create(call: Call) -> TokenCreated:
    """Only rights the user has; later the token has what both still allow."""
    request = await call.body(TokenRequest)
    role, scopes = call.user.role, frozenset(request.scopes)
    if call.user.must_change_password:
        raise ForbiddenError("password_change_required", "set your own password first")
    for scope in sorted(scopes):
        if scope_of(role, scope) is Scope.NONE:
            raise ForbiddenError("forbidden", f"the role {role} does not allow {scope}")
    token = PERSONAL_PREFIX + new_token()
    wanted = Wanted(
        name=request.name, scopes=scopes, expires_ms=call.now_ms + request.days * 86_400_000
    )
    most = call.services.config.limits.tokens_per_user

    def work(tx: Tx) -> TokenCreated:
        made = store_tokens.add_token(tx, call.user.id, token, wanted, most, call.now_ms)
        detail = {"name": made.name, "scopes": ", ".join(sorted(scopes))}
        _record(tx, call, AuditAction.TOKEN_CREATED, made.id, detail)
        return TokenCreated(token, _view(made))

    return await call.create(TokenCreated, work)


async def remove(call: Call) -> None:
    token = TokenId(call.request.match_info["token"])

    def work(tx: Tx) -> None:
        store_tokens.remove_token(tx, call.user.id, token)
        _record(tx, call, AuditAction.TOKEN_REMOVED, token, {})

    await call.services.store.write(work)


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/tokens",
        needs=Open.SIGNED_IN,
        handle=list_,
        gives=TokenList,
    ),
    Route(
        method="POST",
        path="/api/v1/tokens",
        needs=Open.SIGNED_IN,
        handle=create,
        takes=TokenRequest,
        gives=TokenCreated,
        status=HTTPStatus.CREATED,
    ),
    Route(method="DELETE", path="/api/v1/tokens/{token}", needs=Open.SIGNED_IN, handle=remove),
)


def _view(token: PersonalToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=tuple(sorted(token.scopes)),
        created_ms=token.created_ms,
        expires_ms=token.expires_ms,
    )


def _record(
    tx: Tx, call: Call, action: AuditAction, subject: TokenId, detail: dict[str, str]
) -> None:
    entry = Entry(
        action=action,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=subject,
        detail=detail,
    )
    store_audit.append(tx, entry, call.now_ms)
