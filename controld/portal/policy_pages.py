"""A gateway's policy: whose word a start needs, when, how long, how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from controld import api_policies
from controld.api_policies import PolicyRequest
from controld.errors import ChangedError, InvalidError
from controld.maintenance import MAX_WINDOWS, Weekday
from controld.portal.frame import Frame, Page, Visit, to
from controld.portal.gateway_pages import shown_gateway
from controld.portal.refusals import wrong_of
from controld.records import ReasonPolicy, ReleasePolicy
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_policies import PolicyView
    from controld.portal.refusals import Wrong

DURATIONS_S: Final = tuple(hours * 3600 for hours in (1, 2, 4, 8, 12, 24, 48, 168))
IDLE_S: Final = tuple(minutes * 60 for minutes in (5, 10, 15, 30, 60, 240))
BLANK_WINDOWS: Final = 2
"""Rows of the form that are empty, so that windows can be added without a script."""
_ROWS: Final = MAX_WINDOWS + BLANK_WINDOWS
FIELDS: Final = frozenset(PolicyRequest.__struct_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What stands in the form: numbers as text, as they may have been typed."""

    release: str
    reason: str
    max_sessions: str
    max_duration_s: str
    idle_timeout_s: str
    time_zone: str
    windows: tuple[tuple[tuple[str, ...], str, str], ...]
    """Days, begin and end of each row that is not empty."""


async def show(frame: Frame, visit: Visit) -> web.Response:
    policy = await api_policies.show(visit.call)
    return await _page(frame, visit, policy, _stored(policy))


async def change(frame: Frame, visit: Visit) -> web.Response:
    """Save it; what is not taken is shown again as it was typed."""
    typed = _typed(visit)
    wanted = {name: getattr(typed, name) for name in Shown.__slots__ if name != "windows"} | {
        "windows": [{"days": d, "begin": b, "end": e} for d, b, e in typed.windows]
    }
    try:
        await api_policies.change(visit.with_body(PolicyRequest, wanted))
    except (InvalidError, ChangedError) as exc:
        policy = await api_policies.show(visit.call)
        return await _page(frame, visit, policy, typed, wrong_of(visit.language, exc, FIELDS))
    return to(f"/gateways/{visit.call.request.match_info['gateway']}")


def _typed(visit: Visit) -> Shown:
    fields = visit.fields
    rows = [
        (visit.listed(f"days-{row}"), fields.get(f"begin-{row}", ""), fields.get(f"end-{row}", ""))
        for row in range(_ROWS)
    ]
    return Shown(
        release=fields.get("release", ""),
        reason=fields.get("reason", ""),
        max_sessions=fields.get("max_sessions", "").strip(),
        max_duration_s=fields.get("max_duration_s", ""),
        idle_timeout_s=fields.get("idle_timeout_s", ""),
        time_zone=fields.get("time_zone", "").strip(),
        windows=tuple(row for row in rows if any(row)),
    )


def _stored(policy: PolicyView) -> Shown:
    return Shown(
        release=policy.release.value,
        reason=policy.reason.value,
        max_sessions=str(policy.max_sessions),
        max_duration_s=str(policy.max_duration_s),
        idle_timeout_s=str(policy.idle_timeout_s),
        time_zone=policy.time_zone,
        windows=tuple(
            (tuple(day.value for day in each.days), each.begin, each.end) for each in policy.windows
        ),
    )


async def _page(
    frame: Frame, visit: Visit, policy: PolicyView, shown: Shown, wrong: Wrong | None = None
) -> web.Response:
    """The form; `wrong` is why what stands in it was not taken instead of `policy`."""
    blank = [((), "", "")] * min(BLANK_WINDOWS, max(0, MAX_WINDOWS - len(shown.windows)))
    return frame.show(
        visit,
        "policy.html",
        status=wrong.status if wrong else HTTPStatus.OK,
        wrong=wrong,
        gateway=await shown_gateway(visit),
        revision=policy.revision,
        shown=shown,
        releases=list(ReleasePolicy),
        reasons=list(ReasonPolicy),
        durations=sorted({*DURATIONS_S, policy.max_duration_s}),
        idles=sorted({*IDLE_S, policy.idle_timeout_s} - {0}),
        days=list(Weekday),
        rows=[*shown.windows, *blank],
        zones=_zones(),
    )


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
