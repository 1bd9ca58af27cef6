"""A gateway's policy: whose word a start needs, when, how long, how many at once."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from controld import api_policies
from controld.api_policies import PolicyRequest
from controld.errors import ChangedError, DomainError, InvalidError
from controld.maintenance import MAX_WINDOWS, Weekday
from controld.portal.frame import Frame, Page, Visit, to, why
from controld.portal.gateway_pages import shown_gateway
from controld.records import ReasonPolicy, ReleasePolicy
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_policies import PolicyView

DURATIONS_S: Final = tuple(hours * 3600 for hours in (1, 2, 4, 8, 12, 24, 48, 168))
IDLE_S: Final = tuple(minutes * 60 for minutes in (5, 10, 15, 30, 60, 240))
BLANK_WINDOWS: Final = 2
"""Rows of the form that are empty, so that windows can be added without a script."""
_ROWS: Final = MAX_WINDOWS + BLANK_WINDOWS


async def show(frame: Frame, visit: Visit) -> web.Response:
    return await _page(frame, visit)


async def change(frame: Frame, visit: Visit) -> web.Response:
    fields = visit.fields
    names = ("release", "reason", "max_sessions", "max_duration_s", "idle_timeout_s")
    wanted = {name: fields.get(name, "") for name in names} | {
        "time_zone": fields.get("time_zone", "").strip(),
        "windows": [window for row in range(_ROWS) if (window := _window(visit, row))],
    }
    try:
        await api_policies.change(visit.with_body(PolicyRequest, wanted))
    except (InvalidError, ChangedError) as exc:
        return await _page(frame, visit, exc)
    return to(f"/gateways/{visit.call.request.match_info['gateway']}")


def _window(visit: Visit, row: int) -> dict[str, object] | None:
    """Read one row of the form; an empty one is no window, half of one the API refuses."""
    days = visit.listed(f"days-{row}")
    begin, end = (visit.fields.get(f"{name}-{row}", "") for name in ("begin", "end"))
    if not (days or begin or end):
        return None
    return {"days": days, "begin": begin, "end": end}


async def _page(frame: Frame, visit: Visit, refused: DomainError | None = None) -> web.Response:
    """The policy as it stands; `refused` is why another one was not taken."""
    policy = await api_policies.show(visit.call)
    return frame.show(
        visit,
        "policy.html",
        status=HTTPStatus.BAD_REQUEST if refused else HTTPStatus.OK,
        notice=_why(visit, refused) if refused else None,
        gateway=await shown_gateway(visit),
        policy=policy,
        releases=list(ReleasePolicy),
        reasons=list(ReasonPolicy),
        durations=sorted({*DURATIONS_S, policy.max_duration_s}),
        idles=sorted({*IDLE_S, policy.idle_timeout_s} - {0}),
        days=list(Weekday),
        rows=_rows(policy),
        zones=_zones(),
    )


def _why(visit: Visit, refused: DomainError) -> str:
    if refused.code == "bad_request":
        return visit.language.say("policy_incomplete")
    return why(visit.language, refused)


def _rows(policy: PolicyView) -> list[tuple[tuple[str, ...], str, str]]:
    """Days, begin and end of each row of the form."""
    filled = [
        (tuple(day.value for day in window.days), window.begin, window.end)
        for window in policy.windows
    ]
    return [*filled, *[((), "", "")] * min(BLANK_WINDOWS, MAX_WINDOWS - len(filled))]


@cache
def _zones() -> tuple[str, ...]:
    """Names of places; the database also has codes that nobody would look for."""
    return tuple(
        sorted(zone for zone in available_timezones() if "/" in zone and zone[:4] != "Etc/")
    )


_POLICY: Final = "/gateways/{gateway}/policy"
PAGES: Final = (
    Page("GET", _POLICY, Action.SEE_GATEWAYS, show),
    Page("POST", _POLICY, Action.ADD_GATEWAYS, change),
)
