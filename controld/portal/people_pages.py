"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import api_users
from controld.api_types import UserRequest
from controld.portal.frame import Frame, Page, Visit, to
from controld.roles import Action, Role

if TYPE_CHECKING:
    from aiohttp import web


async def users(frame: Frame, visit: Visit) -> web.Response:
    listed = await api_users.list_users(visit.call)
    return frame.show(visit, "users.html", users=listed.users, roles=list(Role), made=None)


async def add_user(frame: Frame, visit: Visit) -> web.Response:
    """The one-time password is on this one page only."""
    wanted = {"name": visit.fields.get("name", "").strip(), "role": visit.fields.get("role", "")}
    made = await api_users.create_user(visit.with_body(UserRequest, wanted))
    listed = await api_users.list_users(visit.call)
    return frame.show(
        visit,
        "users.html",
        users=listed.users,
        roles=list(Role),
        made=made,
        made_name=wanted["name"],
    )


async def disable_user(frame: Frame, visit: Visit) -> web.Response:
    del frame
    await api_users.disable_user(visit.call)
    return to("/users")


PAGES = (
    Page("GET", "/users", Action.SEE_USERS, users),
    Page("POST", "/users", Action.MANAGE_USERS, add_user),
    Page("POST", "/users/{user}/disable", Action.MANAGE_USERS, disable_user),
)
