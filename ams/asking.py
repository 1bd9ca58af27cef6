"""Asking rcd to do something, and saying the truth about what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
from aiohttp import web

from ams.rcd_client import RcdAwayError
from ams.view import is_done
from ams.visits import Notice
from rclib.wire.ids import SessionId
from rclib.wire.local import Enrol, Failed, Status

if TYPE_CHECKING:
    from ams.visits import Visit
    from ams.website import Website
    from rclib.wire.local import Request, Response

RCD_AWAY: Final = "rcd_away"


async def do(site: Website, visit: Visit, wanted: Request, done: Notice | None) -> NoReturn:
    """Ask, note the outcome for the next page, and lead there: reloading repeats nothing.

    Only what rcd confirms and its status shows counts as done. Raises HTTPSeeOther.
    """
    try:
        answer = await site.rcd.ask(wanted)
    except RcdAwayError as exc:
        site.log.warning(RCD_AWAY, reason=str(exc))
        visit.notice = Notice("unconfirmed", is_problem=True)
    else:
        visit.notice = _outcome(wanted, answer, done)
    raise web.HTTPSeeOther("/")


def session_id(text: str) -> SessionId:
    """Read a session's id from a form or an address; raises HTTPBadRequest."""
    try:
        return msgspec.convert(text, SessionId)
    except msgspec.ValidationError:
        raise web.HTTPBadRequest from None


def _outcome(wanted: Request, answer: Response, done: Notice | None) -> Notice | None:
    match answer:
        case Failed(error, detail):
            return Notice(f"failed_{error.value}", {"why": detail}, is_problem=True)
        case Status() if is_done(wanted, answer):
            if isinstance(wanted, Enrol):
                return Notice("done_enrol", {"server": answer.server, "name": answer.name})
            return done
        case _:
            return Notice("contradicted", is_problem=True)
