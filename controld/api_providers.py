"""The caller's own links to providers of identities.

One is made by a browser that goes there and comes back (`portal/provider_pages.py`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import reauth, store_audit, store_subjects
from controld.api import Call, Open, Route
from controld.api_types import ReauthRequest
from controld.errors import NotFoundError
from controld.provider_logins import provider_of
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct

if TYPE_CHECKING:
    from controld.store import Tx
    from rclib.wire.ids import UserId


class ProviderView(Struct, frozen=True):
    id: str
    name: str
    linked: bool


class ProviderList(Struct, frozen=True):
    providers: tuple[ProviderView, ...]


async def list_(call: Call) -> ProviderList:
    return await call.services.store.read(lambda tx: providers_of(tx, call, call.user.id))


async def unlink(call: Call) -> None:
    provider = provider_of(call)
    request = await call.body(ReauthRequest)
    await reauth.check(call, request.password)

    def work(tx: Tx) -> None:
        if not store_subjects.unlink(tx, call.user.id, provider.config.issuer):
            raise NotFoundError("link")
        detail = {"provider": provider.config.id}
        entry = reauth.entry(call, call.user, AuditAction.PROVIDER_UNLINKED, detail)
        store_audit.append(tx, entry, call.now_ms)

    await call.services.store.write(work)


def providers_of(tx: Tx, call: Call, user: UserId) -> ProviderList:
    """Every configured provider, and whether it lets this user in."""
    linked = set(store_subjects.issuers_of(tx, user))
    return ProviderList(
        tuple(
            ProviderView(each.id, each.name, each.issuer in linked)
            for each in call.services.config.providers
        )
    )


_PROVIDERS = "/api/v1/account/providers"
ROUTES = (
    Route("GET", _PROVIDERS, Open.SIGNED_IN, list_, gives=ProviderList),
    Route(
        "POST",
        f"{_PROVIDERS}/{{provider}}/remove",
        Open.SIGNED_IN,
        unlink,
        HTTPStatus.NO_CONTENT,
        takes=ReauthRequest,
    ),
)
