"""Organisations: the own one's name, and for who runs the control plane all of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from controld import api_organisations
from controld.api_organisations import OrganisationRequest
from controld.api_types import NameRequest
from controld.errors import ConflictError, DomainError, InvalidError
from controld.portal.frame import Frame, Page, Visit, to, why
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_organisations import OrganisationCreated

ORGANISATIONS_PATH: Final = "/organisations"


async def show(frame: Frame, visit: Visit) -> web.Response:
    return await _page(frame, visit)


async def create(frame: Frame, visit: Visit) -> web.Response:
    """The first administrator's one-time password is on this one page only."""
    wanted = {key: visit.fields.get(key, "").strip() for key in ("name", "administrator")}
    try:
        made = await api_organisations.create(visit.with_body(OrganisationRequest, wanted))
    except (InvalidError, ConflictError) as exc:
        return await _page(frame, visit, refused=exc)
    return await _page(frame, visit, made)


async def rename(frame: Frame, visit: Visit) -> web.Response:
    wanted = {"name": visit.fields.get("name", "").strip()}
    try:
        await api_organisations.rename(visit.with_body(NameRequest, wanted))
    except (InvalidError, ConflictError) as exc:
        return await _page(frame, visit, refused=exc)
    return to(ORGANISATIONS_PATH)


PAGES: Final = (
    Page("GET", ORGANISATIONS_PATH, Action.MANAGE_ORGANISATIONS, show),
    Page("POST", ORGANISATIONS_PATH, Action.MANAGE_ORGANISATIONS, create),
    Page("POST", f"{ORGANISATIONS_PATH}/{{organisation}}", Action.MANAGE_ORGANISATIONS, rename),
)


async def _page(
    frame: Frame,
    visit: Visit,
    made: OrganisationCreated | None = None,
    refused: DomainError | None = None,
) -> web.Response:
    listed = (await api_organisations.list_(visit.call)).organisations
    own = visit.call.user.organisation
    return frame.show(
        visit,
        "organisations.html",
        status=HTTPStatus.BAD_REQUEST if refused else HTTPStatus.OK,
        notice=why(visit.language, refused) if refused else None,
        organisations=listed,
        own=own,
        is_operator=any(each.is_operator for each in listed if each.id == own),
        made=made,
        typed=visit.fields if refused or made else {},
    )
