"""The visitor's own account: login, logout, password, computers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import api_endpoints, api_login, api_passkeys
from controld.api import Open
from controld.api_passkeys import PasskeyLogin
from controld.api_types import LoginRequest, NameRequest, PasswordRequest
from controld.errors import DomainError
from controld.portal.frame import LOGIN_PATH, PASSWORD_PATH, Frame, Page, Visit, to, why
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_types import LoginResponse


async def show_login(frame: Frame, visit: Visit) -> web.Response:
    return login_page(frame, visit)


async def login(frame: Frame, visit: Visit) -> web.Response:
    fields = {
        "name": visit.fields.get("name", "").strip(),
        "password": visit.fields.get("password", ""),
        "code": visit.fields.get("code", "").strip(),
        "device": frame.cookie.device(visit.call.request),
    }
    try:
        answer = await api_login.login(visit.with_body(LoginRequest, fields))
    except DomainError as exc:
        return login_page(frame, visit, exc)
    return let_in(frame, visit, answer)


async def login_with_passkey(frame: Frame, visit: Visit) -> web.Response:
    fields = {"credential": visit.fields.get("credential", "")}
    try:
        answer = await api_passkeys.login(visit.with_body(PasskeyLogin, fields))
    except DomainError as exc:
        return login_page(frame, visit, exc)
    return let_in(frame, visit, answer)


def login_page(frame: Frame, visit: Visit, refused: DomainError | None = None) -> web.Response:
    """All ways in; `refused` is why the last one tried did not open."""
    notice = why(visit.language, refused) if refused else None
    status = HTTPStatus.FORBIDDEN if refused else HTTPStatus.OK
    providers = frame.services.config.providers
    return frame.show(visit, "login.html", status=status, notice=notice, providers=providers)


def let_in(frame: Frame, visit: Visit, answer: LoginResponse) -> web.Response:
    """Give the browser its login, whatever proved it; the owner hears of what failed before."""
    on = PASSWORD_PATH if answer.must_change_password else "/"
    if answer.failed_logins:
        response = frame.show(visit, "failed_logins.html", count=answer.failed_logins, on=on)
    else:
        response = to(on)
    frame.cookie.set(response, answer.token)
    frame.cookie.set_device(response, answer.device)
    frame.cookie.remove_way_in(response)
    return response


async def logout(frame: Frame, visit: Visit) -> web.Response:
    await api_login.logout(visit.call)
    response = to(LOGIN_PATH)
    frame.cookie.remove(response)
    return response


async def show_password(frame: Frame, visit: Visit) -> web.Response:
    return frame.show(visit, "password.html")


async def change_password(frame: Frame, visit: Visit) -> web.Response:
    """Change it, and log in again with it: the change voids every token."""
    fields = visit.fields
    if fields.get("new") != fields.get("repeat"):
        notice = visit.language.say("passwords_differ")
        return frame.show(visit, "password.html", status=HTTPStatus.BAD_REQUEST, notice=notice)
    wanted = {"old": fields.get("old", ""), "new": fields.get("new", "")}
    try:
        await api_login.change_password(visit.with_body(PasswordRequest, wanted))
    except DomainError as exc:
        notice = why(visit.language, exc)
        return frame.show(visit, "password.html", status=HTTPStatus.BAD_REQUEST, notice=notice)
    try:
        again = {"name": visit.call.user.name, "password": wanted["new"]}
        answer = await api_login.login(visit.with_body(LoginRequest, again))
    except DomainError:
        return to(LOGIN_PATH)  # it takes a code, too
    response = to("/")
    frame.cookie.set(response, answer.token)
    return response


async def computers(frame: Frame, visit: Visit) -> web.Response:
    listed = await api_endpoints.list_clients(visit.call)
    return frame.show(visit, "computers.html", clients=listed.clients, code=None)


async def add_computer(frame: Frame, visit: Visit) -> web.Response:
    """The code is on this one page only; it cannot be asked for again."""
    wanted = visit.with_body(NameRequest, {"name": visit.fields.get("name", "").strip()})
    made = await api_endpoints.create_client(wanted)
    listed = await api_endpoints.list_clients(visit.call)
    return frame.show(
        visit,
        "computers.html",
        clients=listed.clients,
        code=made.enrolment_code,
        code_until_ms=made.expires_ms,
        server=f"https://{frame.services.config.host}",
    )


PAGES = (
    Page("GET", LOGIN_PATH, Open.ANYONE, show_login),
    Page("POST", LOGIN_PATH, Open.ANYONE, login),
    Page("POST", f"{LOGIN_PATH}/passkey", Open.ANYONE, login_with_passkey),
    Page("POST", "/logout", Open.SIGNED_IN, logout),
    Page("GET", PASSWORD_PATH, Open.SIGNED_IN, show_password),
    Page("POST", PASSWORD_PATH, Open.SIGNED_IN, change_password),
    Page("GET", "/computers", Action.ENROL_CLIENT, computers),
    Page("POST", "/computers", Action.ENROL_CLIENT, add_computer),
)
