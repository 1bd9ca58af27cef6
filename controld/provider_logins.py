"""Logging in with a provider of identities, and linking an account to one.

A provider's word counts as the first factor, in place of the password: who has an authenticator
app shows its code besides. Nobody is let in, or made, for being known to a provider: a user whom
an administrator made links the account, and shows the password for it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec

from controld import (
    api_login,
    logins,
    oidc,
    reauth,
    store_attempts,
    store_audit,
    store_factors,
    store_passkeys,
    store_subjects,
    store_users,
)
from controld.api_types import ReauthRequest
from controld.errors import ConflictError, NotFoundError, UnauthenticatedError
from controld.oidc import Flow, ProviderError
from rclib.wire.audit import AuditAction
from rclib.wire.ids import UserId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controld.api import Call
    from controld.api_types import LoginResponse
    from controld.oidc_client import Provider
    from controld.store import Tx

CODE_MS: Final = 5 * 60 * 1000
_PURPOSE: Final = "first factor"


class FirstFactor(msgspec.Struct, frozen=True):
    """Somebody whose provider vouched for them and who has a code to show yet; no login."""

    user: UserId
    provider: str
    expires_ms: int


def provider_of(call: Call) -> Provider:
    """The one the address names; raises NotFoundError."""
    provider = call.services.providers.get(call.request.match_info["provider"])
    if provider is None:
        raise NotFoundError("provider")
    return provider


async def begin(call: Call, linking: UserId | None = None) -> tuple[str, str]:
    """The sealed flow, and where the browser goes; raises NotFoundError, UnauthenticatedError."""
    provider = provider_of(call)
    try:
        document = await provider.document()
    except ProviderError as exc:
        raise _refused(call, provider, exc) from None
    there = oidc.begin(provider.config, document, _back(call, provider), call.now_ms, linking)
    return oidc.seal(call.services.sealer, there[0]), there[1]


async def begin_link(call: Call) -> tuple[str, str]:
    """The same for linking the caller's account, which takes their password."""
    provider = provider_of(call)
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)
    linked = await call.services.store.read(lambda tx: store_subjects.issuers_of(tx, call.user.id))
    if provider.config.issuer in linked:
        raise ConflictError("provider_linked", "there is a link to this provider already")
    return await begin(call, call.user.id)


def flow_of(call: Call, sealed: str) -> Flow:
    """The flow this browser went out with to this provider; raises UnauthenticatedError."""
    flow = oidc.unseal(call.services.sealer, sealed, call.now_ms)
    if flow is None or flow.provider != provider_of(call).config.id:
        raise UnauthenticatedError("provider_flow_over", "this took too long; begin again")
    return flow


async def subject_of(call: Call, flow: Flow, query: Mapping[str, str]) -> str:
    """Who came back; the flow is used up by that. Raises UnauthenticatedError."""
    provider = provider_of(call)
    spent = flow.state.encode()
    if not await call.services.store.write(
        lambda tx: store_passkeys.spend_challenge(tx, spent, call.now_ms, oidc.FLOW_MS)
    ):
        raise UnauthenticatedError("provider_flow_over", "this was used before; begin again")
    try:
        code = oidc.code_of(query, flow, provider.config, await provider.document())
        id_token = await provider.redeem(code, flow.verifier, _back(call, provider))
        return await provider.subject_of(id_token, flow.nonce)
    except ProviderError as exc:
        raise _refused(call, provider, exc) from None


async def login(call: Call, subject: str, device: str) -> LoginResponse | str:
    """Let the linked user in; a sealed FirstFactor for who has a code to show yet."""
    provider = provider_of(call)
    issuer, services = provider.config.issuer, call.services

    def work(tx: Tx) -> LoginResponse | FirstFactor | None:
        owner = store_subjects.find_user_of(tx, issuer, subject)
        user = store_users.get_user(tx, owner) if owner is not None else None
        if user is None:
            return None
        if user.disabled:
            entry = reauth.entry(call, user, AuditAction.LOGIN_FAILED, {"by": _by(provider)})
            store_audit.append(tx, entry, call.now_ms)
            return None
        if store_factors.has_totp(tx, user.id):
            return FirstFactor(user.id, provider.config.id, call.now_ms + CODE_MS)
        return logins.let_in(tx, call, user, _by(provider), device)

    made = await services.store.write(work)
    if made is None:
        services.metrics.logins_failed.labels("wrong").inc()
        raise UnauthenticatedError("not_linked", "this account of the provider opens nothing here")
    if isinstance(made, FirstFactor):
        sealed = services.sealer.seal(msgspec.json.encode(made).decode(), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode()
    return made


async def login_with_code(call: Call, sealed: str, code: str, device: str) -> LoginResponse:
    """The second step; its guesses count with all others for the account."""
    services = call.services
    first = _first_factor(call, sealed)
    provider = services.providers.get(first.provider) if first is not None else None
    if first is None or provider is None:
        raise UnauthenticatedError("provider_flow_over", "this took too long; begin again")
    user = await services.store.read(lambda tx: store_users.get_user(tx, first.user))
    _, attempt = await reauth.begin(call, user.name, device)

    def work(tx: Tx) -> LoginResponse | None:
        current = store_users.get_user(tx, first.user)
        still = provider.config.issuer in store_subjects.issuers_of(tx, current.id)
        if current.disabled or not still or not code:
            return None
        if api_login.second_factor_complaint(tx, call, current, code):
            return None
        store_attempts.succeed(tx, attempt)
        return logins.let_in(tx, call, current, f"{_by(provider)} and code", device)

    made = await services.store.write(work)
    if made is None:
        await reauth.failed(call, user, attempt)
        raise UnauthenticatedError(
            "second_factor_wrong", "the code is wrong, was used before, or its time is over"
        )
    return made


async def link(call: Call, subject: str) -> None:
    """Link the caller's account; raises ConflictError."""
    provider = provider_of(call)

    def work(tx: Tx) -> None:
        store_subjects.link(tx, call.user.id, provider.config.issuer, subject, call.now_ms)
        detail = {"provider": provider.config.id, "account": subject}
        entry = reauth.entry(call, call.user, AuditAction.PROVIDER_LINKED, detail)
        store_audit.append(tx, entry, call.now_ms)

    await call.services.store.write(work)


def _back(call: Call, provider: Provider) -> str:
    return f"{call.services.origin}/login/with/{provider.config.id}/back"


def _by(provider: Provider) -> str:
    return f"provider {provider.config.id}"


def _refused(call: Call, provider: Provider, exc: ProviderError) -> UnauthenticatedError:
    """People hear that it did not work; why is for who runs controld."""
    services = call.services
    services.metrics.logins_failed.labels("wrong").inc()
    services.providers.note_failure(provider, exc)
    return UnauthenticatedError("provider_refused", f"{provider.config.name}: {exc}")


def _first_factor(call: Call, sealed: str) -> FirstFactor | None:
    try:
        opened = call.services.sealer.unseal(base64.urlsafe_b64decode(sealed), _PURPOSE)
    except ValueError:
        return None
    first = msgspec.json.decode(opened, type=FirstFactor) if opened is not None else None
    return first if first is not None and first.expires_ms > call.now_ms else None
