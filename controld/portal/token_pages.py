"""The visitor's own API tokens, for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from controld import api_tokens
from controld.api import Open
from controld.api_tokens import TokenRequest
from controld.errors import DomainError
from controld.portal.frame import Frame, Page, Visit, to, why
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_tokens import TokenCreated

TOKENS_PATH: Final = "/tokens"
DAYS: Final = (7, 30, 90, api_tokens.MAX_DAYS)
DEFAULT_DAYS: Final = 30


async def show(frame: Frame, visit: Visit) -> web.Response:
    return await _page(frame, visit)


async def create(frame: Frame, visit: Visit) -> web.Response:
    """The token is on this one page only; it cannot be asked for again."""
    wanted = {
        "name": visit.fields.get("name", "").strip(),
        "scopes": visit.listed("scope"),
        "days": visit.fields.get("days", ""),
    }
    try:
        made = await api_tokens.create(visit.with_body(TokenRequest, wanted))
    except DomainError as exc:
        notice = (
            visit.language.say("token_incomplete")
            if exc.code == "bad_request"
            else why(visit.language, exc)
        )
        return await _page(frame, visit, notice=notice)
    return await _page(frame, visit, made=made)


async def remove(frame: Frame, visit: Visit) -> web.Response:
    del frame
    await api_tokens.remove(visit.call)
    return to(TOKENS_PATH)


async def _page(
    frame: Frame, visit: Visit, *, made: TokenCreated | None = None, notice: str | None = None
) -> web.Response:
    return frame.show(
        visit,
        "tokens.html",
        status=HTTPStatus.BAD_REQUEST if notice else HTTPStatus.OK,
        notice=notice,
        tokens=(await api_tokens.list_(visit.call)).tokens,
        made=made,
        scopes=[action for action in Action if visit.may(action)],
        days=DAYS,
        default_days=DEFAULT_DAYS,
    )


PAGES: Final = (
    Page("GET", TOKENS_PATH, Open.SIGNED_IN, show),
    Page("POST", TOKENS_PATH, Open.SIGNED_IN, create),
    Page("POST", f"{TOKENS_PATH}/{{token}}/remove", Open.SIGNED_IN, remove),
)
