"""The way to a provider of identities and back.

Going there is a link and not a form: the pages' policy lets forms lead to this site only.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import provider_logins
from controld.api import Open, admit
from controld.errors import DomainError, UnauthenticatedError
from controld.portal.account_pages import let_in, login_page
from controld.portal.frame import LOGIN_PATH, Frame, Page, Visit, to, why
from controld.portal.sign_in_pages import SIGN_IN_PATH, sign_in_page

if TYPE_CHECKING:
    from aiohttp import web

    from controld.oidc import Flow


async def go(frame: Frame, visit: Visit) -> web.Response:
    try:
        sealed, address = await provider_logins.begin(visit.call)
    except DomainError as exc:
        return login_page(frame, visit, exc)
    response = to(address)
    frame.cookie.set_way_in(response, sealed)
    return response


async def back(frame: Frame, visit: Visit) -> web.Response:
    """Where the provider sends the browser, with a code or with an error."""
    call = visit.call
    try:
        flow = provider_logins.flow_of(call, frame.cookie.way_in(call.request))
        if flow.linking is not None:
            return await _back_to_link(frame, visit, flow)
        subject = await provider_logins.subject_of(call, flow, call.request.query)
        device = frame.cookie.device(call.request)
        answer = await provider_logins.login(call, subject, device)
    except DomainError as exc:
        response = login_page(frame, visit, exc)
        frame.cookie.remove_way_in(response)
        return response
    if isinstance(answer, str):
        response = frame.show(visit, "login_code.html")
        frame.cookie.set_way_in(response, answer)
        return response
    return let_in(frame, visit, answer)


async def login_with_code(frame: Frame, visit: Visit) -> web.Response:
    """The code of the authenticator app, after the provider."""
    request = visit.call.request
    way_in, device = frame.cookie.way_in(request), frame.cookie.device(request)
    code = visit.fields.get("code", "").strip()[:40]
    try:
        answer = await provider_logins.login_with_code(visit.call, way_in, code, device)
    except DomainError as exc:
        if exc.code == "provider_flow_over":
            return login_page(frame, visit, exc)
        notice = why(visit.language, exc)
        return frame.show(visit, "login_code.html", status=HTTPStatus.FORBIDDEN, notice=notice)
    return let_in(frame, visit, answer)


async def _back_to_link(frame: Frame, visit: Visit, flow: Flow) -> web.Response:
    """Link for who went out and is still logged in here; raises UnauthenticatedError."""
    request = visit.call.request
    call = await admit(Open.SIGNED_IN, frame.services, request, frame.cookie.token)
    if call.user.id != flow.linking:
        raise UnauthenticatedError("provider_flow_over", "somebody else began this; begin again")
    signed_in = Visit(call, visit.language, visit.fields, visit.lists)
    try:
        subject = await provider_logins.subject_of(call, flow, request.query)
        await provider_logins.link(call, subject)
    except DomainError as exc:
        response = await sign_in_page(frame, signed_in, exc)
    else:
        response = to(SIGN_IN_PATH)
    frame.cookie.remove_way_in(response)
    return response


PAGES = (
    Page("GET", f"{LOGIN_PATH}/with/{{provider}}", Open.ANYONE, go),
    Page("GET", f"{LOGIN_PATH}/with/{{provider}}/back", Open.ANYONE, back),
    Page("POST", f"{LOGIN_PATH}/code", Open.ANYONE, login_with_code),
)
