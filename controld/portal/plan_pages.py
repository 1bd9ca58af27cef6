"""What a session is to be: one page to prepare it, the same page to change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from controld import api_endpoints, api_policies, api_sessions, api_users
from controld.api_types import SessionChange, SessionRequest
from controld.errors import ConflictError, InvalidError, NotFoundError
from controld.portal.frame import Frame, Page, Visit, to
from controld.portal.gateway_pages import shown_gateway
from controld.portal.presets import name_of
from controld.portal.refusals import wrong_of
from controld.records import ReasonPolicy
from controld.roles import Action

if TYPE_CHECKING:
    from aiohttp import web

    from controld.api_types import DeviceView, SessionView
    from controld.portal.refusals import Wrong
    from rclib.wire.session import Protocol, Target

DURATIONS_S: Final = tuple(hours * 3600 for hours in (1, 2, 4, 8, 12, 24))
DEFAULT_S: Final = 4 * 3600
UTC_NAME: Final = "UTC"
FIELDS: Final = frozenset({*SessionRequest.__struct_fields__, "window"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What stands in the form, as it may have been typed."""

    name: str = ""
    targets: frozenset[str] = frozenset()
    """Each as `_key` spells it."""
    users: frozenset[str] = frozenset()
    duration_s: str = str(DEFAULT_S)
    begin: str = ""
    until: str = ""
    zone: str = ""
    reason: str = ""
    reference: str = ""


async def choose(frame: Frame, visit: Visit) -> web.Response:
    """The gateway first; everything else follows from it."""
    gateways = (await api_endpoints.list_gateways(visit.call)).gateways
    return frame.show(visit, "session_gateway.html", gateways=gateways)


async def new(frame: Frame, visit: Visit) -> web.Response:
    policy = await api_policies.show(visit.call)
    zone = "" if policy.time_zone == UTC_NAME else policy.time_zone
    return await _page(frame, visit, Shown(zone=zone))


async def prepare(frame: Frame, visit: Visit) -> web.Response:
    typed = _typed(visit)
    try:
        wanted = _wanted(typed) | {"gateway": visit.call.request.match_info["gateway"]}
        made = await api_sessions.prepare(visit.with_body(SessionRequest, wanted))
    except InvalidError as exc:
        return await _page(frame, visit, typed, wrong_of(visit.language, exc, FIELDS))
    return to(f"/sessions/{made.id}")


async def show(frame: Frame, visit: Visit) -> web.Response:
    session = await _session(visit)
    policy = await api_policies.show(visit.call)
    return await _page(frame, visit, _stored(session, policy.time_zone), session=session)


async def change(frame: Frame, visit: Visit) -> web.Response:
    """Another plan; what is not taken is shown again as it was typed."""
    session, typed = await _session(visit), _typed(visit)
    try:
        await api_sessions.change(visit.with_body(SessionChange, _wanted(typed, session)))
    except (InvalidError, ConflictError) as exc:
        wrong = wrong_of(visit.language, exc, FIELDS)
        return await _page(frame, visit, typed, wrong, session)
    return to(f"/sessions/{session.id}")


_CHANGE: Final = "/gateways/{gateway}/sessions/{session}/change"
PAGES: Final = (
    Page("GET", "/prepare", Action.PREPARE_SESSIONS, choose),
    Page("GET", "/prepare/{gateway}", Action.PREPARE_SESSIONS, new),
    Page("POST", "/prepare/{gateway}", Action.PREPARE_SESSIONS, prepare),
    Page("GET", _CHANGE, Action.CHANGE_SESSION_DEVICES, show),
    Page("POST", _CHANGE, Action.CHANGE_SESSION_DEVICES, change),
)


async def _session(visit: Visit) -> SessionView:
    """The session of the address, which names its gateway, too; raises NotFoundError."""
    session = await api_sessions.show(visit.call)
    if session.gateway != visit.call.request.match_info["gateway"]:
        raise NotFoundError("session")
    return session


async def _page(
    frame: Frame,
    visit: Visit,
    shown: Shown,
    wrong: Wrong | None = None,
    session: SessionView | None = None,
) -> web.Response:
    """The form; `wrong` is why what stands in it was not taken, `session` what it changes."""
    devices = (await api_endpoints.list_devices(visit.call)).devices
    policy = await api_policies.show(visit.call)
    users = (await api_users.list_users(visit.call)).users
    own_s = {session.duration_s} if session else set()
    return frame.show(
        visit,
        "session_plan.html",
        status=wrong.status if wrong else HTTPStatus.OK,
        wrong=wrong,
        shown=shown,
        session=session,
        gateway=await shown_gateway(visit),
        devices=devices,
        others=_others(session.targets, devices) if session else [],
        users=[user for user in users if not user.disabled],
        durations=sorted({s for s in DURATIONS_S if s <= policy.max_duration_s} | own_s),
        needs_reason=policy.reason is ReasonPolicy.REQUIRED,
        service_name=name_of,
        key_of=_key,
    )


def _typed(visit: Visit) -> Shown:
    fields = visit.fields
    names = ("name", "duration_s", "zone", "reason", "reference")
    return Shown(
        **{name: fields.get(name, "").strip() for name in names},
        targets=frozenset(visit.listed("target")),
        users=frozenset(visit.listed("user")),
        begin=fields.get("from", ""),
        until=fields.get("until", ""),
    )


def _stored(session: SessionView, zone: str) -> Shown:
    return Shown(
        name=session.name,
        targets=frozenset(_key(x.device, x.protocol, x.port) for x in session.targets),
        users=frozenset(session.users),
        duration_s=str(session.duration_s),
        begin=_local(session.window_from_ms, zone),
        until=_local(session.window_until_ms, zone),
        zone=zone,
        reason=session.reason,
        reference=session.reference,
    )


def _wanted(typed: Shown, session: SessionView | None = None) -> dict[str, Any]:
    """What the API is asked for; raises InvalidError."""
    if not typed.targets:
        raise InvalidError("no_target", "choose at least one machine and service")
    kept = (session.window_from_ms, session.window_until_ms) if session else (None, None)
    return {
        "name": typed.name,
        "targets": [_target(each) for each in sorted(typed.targets)],
        "users": sorted(typed.users),
        "duration_s": typed.duration_s,
        "reason": typed.reason,
        "reference": typed.reference,
        "window_from_ms": _moment(typed.begin, typed.zone, kept[0]),
        "window_until_ms": _moment(typed.until, typed.zone, kept[1]),
    }


def _others(targets: tuple[Target, ...], devices: tuple[DeviceView, ...]) -> list[Target]:
    """What a session reaches that no box of the form stands for, lest saving it loses that."""
    boxes = {_key(d.id, s.protocol, s.port) for d in devices for s in d.services}
    return [x for x in targets if _key(x.device, x.protocol, x.port) not in boxes]


def _key(device: str, protocol: Protocol, port: int | None) -> str:
    """Spell one service of one machine, as the form's boxes do."""
    return f"{device} {protocol.value} {port or ''}"


def _target(text: str) -> dict[str, object]:
    """Read what `_key` spelt."""
    device, _, rest = text.partition(" ")
    protocol, _, port = rest.partition(" ")
    return {"device": device, "protocol": protocol, "port": int(port) if port.isdecimal() else None}


def _local(at_ms: int | None, zone: str) -> str:
    """A moment as a browser's datetime-local takes it, on the clock of `zone`."""
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone or UTC_NAME)).strftime(
        "%Y-%m-%dT%H:%M"
    )


def _moment(text: str, zone: str, kept_ms: int | None) -> int | None:
    """Read a browser's datetime-local in the zone the form names; empty: no bound.

    What was not touched stays `kept_ms`, which may have seconds.
    """
    if not text:
        return None
    try:
        if text == _local(kept_ms, zone):
            return kept_ms
        local = datetime.fromisoformat(text)
        at = local.replace(tzinfo=ZoneInfo(zone or UTC_NAME))
    except (ValueError, KeyError, OSError):
        raise InvalidError("bad_time", "this time or time zone does not exist") from None
    return int(at.timestamp() * 1000)
