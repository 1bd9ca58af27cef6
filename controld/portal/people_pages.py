"""Users: the list, and one of them with role, ways in and the way out."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import api_organisations, api_users
from controld.api_types import UserChange, UserRequest
from controld.errors import ConflictError, DomainError, InvalidError
from controld.portal.frame import Frame, Page, Visit, to, why
from controld.portal.refusals import wrong_of
from controld.roles import Action, Role

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_types import UserCreated


async def users(frame: Frame, visit: Visit) -> web.Response:
    return await _list(frame, visit)


async def add_user(frame: Frame, visit: Visit) -> web.Response:
    """The one-time password is on this one page only."""
    wanted = {"name": visit.fields.get("name", "").strip(), "role": visit.fields.get("role", "")}
    try:
        made = await api_users.create_user(visit.with_body(UserRequest, wanted))
    except (InvalidError, ConflictError) as exc:
        return await _list(frame, visit, refused=exc)
    return await _list(frame, visit, made)


async def user(frame: Frame, visit: Visit) -> web.Response:
    return await _one(frame, visit)


async def change_role(frame: Frame, visit: Visit) -> web.Response:
    wanted = {"role": visit.fields.get("role", "")}
    try:
        changed = await api_users.change_user(visit.with_body(UserChange, wanted))
    except (InvalidError, ConflictError) as exc:
        return await _one(frame, visit, exc)
    return to(f"/users/{changed.id}")


async def disable_user(frame: Frame, visit: Visit) -> web.Response:
    try:
        await api_users.disable_user(visit.call)
    except ConflictError as exc:
        return await _one(frame, visit, exc)
    return to(f"/users/{visit.call.request.match_info['user']}")


async def unlink_provider(frame: Frame, visit: Visit) -> web.Response:
    del frame
    await api_users.unlink_provider(visit.call)
    return to(f"/users/{visit.call.request.match_info['user']}")


_USER = "/users/{user}"
PAGES = (
    Page("GET", "/users", Action.SEE_USERS, users),
    Page("POST", "/users", Action.MANAGE_USERS, add_user),
    Page("GET", _USER, Action.MANAGE_USERS, user),
    Page("POST", f"{_USER}/role", Action.MANAGE_USERS, change_role),
    Page("POST", f"{_USER}/disable", Action.MANAGE_USERS, disable_user),
    Page("POST", f"{_USER}/providers/{{provider}}/remove", Action.MANAGE_USERS, unlink_provider),
)


async def _list(
    frame: Frame,
    visit: Visit,
    made: UserCreated | None = None,
    refused: DomainError | None = None,
) -> web.Response:
    own = None
    if visit.may(Action.MANAGE_ORGANISATIONS):
        listed = (await api_organisations.list_(visit.call)).organisations
        own = next(each for each in listed if each.id == visit.call.user.organisation)
    return frame.show(
        visit,
        "users.html",
        status=HTTPStatus.BAD_REQUEST if refused else HTTPStatus.OK,
        notice=why(visit.language, refused) if refused else None,
        organisation=own,
        users=(await api_users.list_users(visit.call)).users,
        roles=list(Role),
        made=made,
        typed=visit.fields if refused or made else {},
    )


async def _one(frame: Frame, visit: Visit, refused: DomainError | None = None) -> web.Response:
    """One user as they are; `refused` is why something was not changed."""
    wrong = wrong_of(visit.language, refused, frozenset({"role"})) if refused else None
    providers = (await api_users.list_providers(visit.call)).providers
    return frame.show(
        visit,
        "user.html",
        status=wrong.status if wrong else HTTPStatus.OK,
        wrong=wrong,
        shown=await api_users.show_user(visit.call),
        roles=list(Role),
        providers=[each for each in providers if each.linked],
    )
