"""How the visitor signs in: password, authenticator app, passkeys, providers of identities."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import segno

from controld import api_factors, api_passkeys, api_providers, provider_logins
from controld.api import Open
from controld.api_passkeys import PasskeyRequest
from controld.api_types import ReauthRequest, TotpCode
from controld.errors import DomainError
from controld.portal.frame import FormCall, Frame, Page, Visit, to, why

if TYPE_CHECKING:
    from aiohttp import web

SIGN_IN_PATH: Final = "/sign-in"


async def show(frame: Frame, visit: Visit) -> web.Response:
    return await sign_in_page(frame, visit)


async def sign_in_page(
    frame: Frame,
    visit: Visit,
    refused: DomainError | None = None,
    codes: tuple[str, ...] = (),
) -> web.Response:
    """All of it; with the recovery codes on this one page only."""
    call = visit.call
    return frame.show(
        visit,
        "sign_in.html",
        status=HTTPStatus.BAD_REQUEST if refused else HTTPStatus.OK,
        notice=why(visit.language, refused) if refused else None,
        factors=await api_factors.show(call),
        passkeys=(await api_passkeys.list_(call)).passkeys,
        providers=(await api_providers.list_(call)).providers,
        codes=codes,
    )


async def start_totp(frame: Frame, visit: Visit) -> web.Response:
    try:
        started = await api_factors.start_totp(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return _totp_page(frame, visit, started.secret, started.uri)


async def confirm_totp(frame: Frame, visit: Visit) -> web.Response:
    try:
        wanted = visit.with_body(TotpCode, {"code": visit.fields.get("code", "").strip()})
        made = await api_factors.confirm_totp(wanted)
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return await sign_in_page(frame, visit, codes=made.codes)


async def remove_totp(frame: Frame, visit: Visit) -> web.Response:
    try:
        await api_factors.remove_totp(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return to(SIGN_IN_PATH)


async def new_passkey(frame: Frame, visit: Visit) -> web.Response:
    """The page on which the browser makes it; that takes a click of its own."""
    try:
        asked = await api_passkeys.begin(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    name = visit.fields.get("name", "").strip()[:80]
    return frame.show(visit, "passkey_new.html", options=asked.options, passkey_name=name)


async def add_passkey(frame: Frame, visit: Visit) -> web.Response:
    fields = {
        "name": visit.fields.get("name", ""),
        "credential": visit.fields.get("credential", ""),
    }
    try:
        await api_passkeys.add(visit.with_body(PasskeyRequest, fields))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return to(SIGN_IN_PATH)


async def remove_passkey(frame: Frame, visit: Visit) -> web.Response:
    try:
        await api_passkeys.remove(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return to(SIGN_IN_PATH)


async def link_provider(frame: Frame, visit: Visit) -> web.Response:
    """A page whose link goes on: a form may not lead to another site."""
    try:
        sealed, address = await provider_logins.begin_link(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    name = provider_logins.provider_of(visit.call).config.name
    response = frame.show(visit, "provider_go.html", address=address, provider_name=name)
    frame.cookie.set_way_in(response, sealed)
    return response


async def unlink_provider(frame: Frame, visit: Visit) -> web.Response:
    try:
        await api_providers.unlink(_with_password(visit))
    except DomainError as exc:
        return await sign_in_page(frame, visit, exc)
    return to(SIGN_IN_PATH)


PAGES = (
    Page("GET", SIGN_IN_PATH, Open.SIGNED_IN, show),
    Page("POST", f"{SIGN_IN_PATH}/totp", Open.SIGNED_IN, start_totp),
    Page("POST", f"{SIGN_IN_PATH}/totp/confirm", Open.SIGNED_IN, confirm_totp),
    Page("POST", f"{SIGN_IN_PATH}/totp/remove", Open.SIGNED_IN, remove_totp),
    Page("POST", f"{SIGN_IN_PATH}/passkeys/new", Open.SIGNED_IN, new_passkey),
    Page("POST", f"{SIGN_IN_PATH}/passkeys", Open.SIGNED_IN, add_passkey),
    Page("POST", f"{SIGN_IN_PATH}/passkeys/{{passkey}}/remove", Open.SIGNED_IN, remove_passkey),
    Page("POST", f"{SIGN_IN_PATH}/providers/{{provider}}", Open.SIGNED_IN, link_provider),
    Page("POST", f"{SIGN_IN_PATH}/providers/{{provider}}/remove", Open.SIGNED_IN, unlink_provider),
)


def _with_password(visit: Visit) -> FormCall:
    return visit.with_body(ReauthRequest, {"password": visit.fields.get("password", "")})


def _totp_page(frame: Frame, visit: Visit, secret: str, uri: str) -> web.Response:
    drawn = segno.make(uri, error="m").svg_inline(scale=5, omitsize=False, border=4, light="#fff")
    return frame.show(visit, "totp_new.html", secret=secret, uri=uri, picture=drawn)
