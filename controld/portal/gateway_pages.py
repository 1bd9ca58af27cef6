"""Gateways and their machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controld import api_endpoints, api_flows, api_policies, api_sessions, api_users
from controld.api_types import DeviceRequest, GatewayView, NameRequest
from controld.errors import InvalidError, NotFoundError
from controld.portal.charts import bars_of
from controld.portal.frame import Frame, Page, Visit, to
from controld.portal.presets import BY_KEY, PRESETS, name_of
from controld.records import OPEN_STATES
from controld.roles import Action, Scope, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from controld.api_types import SessionView, UserView
    from controld.portal.charts import Bar

MOST: Final = str(api_sessions.LIMIT.high)
HISTORY: Final = 20
"""Past sessions on a gateway's page; the rest is behind a link."""


async def overview(frame: Frame, visit: Visit) -> web.Response:
    """Where everybody starts: what they may see of gateways, and their sessions."""
    gateways = (
        (await api_endpoints.list_gateways(visit.call)).gateways
        if visit.may(Action.SEE_GATEWAYS)
        else ()
    )
    sessions = (await api_sessions.list_(visit.asking(show="open", limit=MOST))).sessions
    return frame.show(
        visit,
        "overview.html",
        gateways=gateways,
        active={s.gateway for s in sessions if s.state in OPEN_STATES},
        paths={s.gateway: s.path for s in sessions if s.path is not None},
        sessions=sessions,
    )


async def add_gateway(frame: Frame, visit: Visit) -> web.Response:
    wanted = visit.with_body(NameRequest, {"name": visit.fields.get("name", "").strip()})
    made = await api_endpoints.create_gateway(wanted)
    return _code_page(frame, visit, made.gateway, made.enrolment_code, made.expires_ms)


async def renew_code(frame: Frame, visit: Visit) -> web.Response:
    made = await api_endpoints.renew_enrolment(visit.call)
    return _code_page(frame, visit, made.gateway, made.enrolment_code, made.expires_ms)


async def gateway(frame: Frame, visit: Visit) -> web.Response:
    shown = await shown_gateway(visit)
    devices = (await api_endpoints.list_devices(visit.call)).devices
    waiting = visit.asking(gateway=shown.id, show="open", limit=MOST)
    past = visit.asking(gateway=shown.id, show=api_sessions.PAST, limit=str(HISTORY))
    open_sessions = (await api_sessions.list_(waiting)).sessions
    users = (await api_users.list_users(visit.call)).users
    return frame.show(
        visit,
        "gateway.html",
        gateway=shown,
        devices=devices,
        presets=PRESETS,
        service_name=name_of,
        policy=await api_policies.show(visit.call),
        sessions=open_sessions,
        history=await api_sessions.list_(past),
        reach=_reach(users, open_sessions),
        bars=await _bars(visit),
        days=api_flows.DAYS.default,
    )


async def add_device(frame: Frame, visit: Visit) -> web.Response:
    del frame
    services = [_preset(key) for key in visit.listed("preset")]
    port = visit.fields.get("port", "").strip()
    if port:
        services.append({"protocol": visit.fields.get("protocol", ""), "port": port})
    wanted = {
        "name": visit.fields.get("name", "").strip(),
        "address": visit.fields.get("address", "").strip(),
        "services": services,
        "source_nat": "own_address" not in visit.fields,
    }
    if not services:
        raise InvalidError("no_service", "choose at least one service or name a port")
    await api_endpoints.create_device(visit.with_body(DeviceRequest, wanted))
    return to(_address(visit))


async def remove_device(frame: Frame, visit: Visit) -> web.Response:
    del frame
    await api_endpoints.remove_device(visit.call)
    return to(_address(visit))


_GATEWAY = "/gateways/{gateway}"
PAGES = (
    Page("GET", "/", Action.SEE_SESSIONS, overview),
    Page("POST", "/gateways", Action.ADD_GATEWAYS, add_gateway),
    Page("GET", _GATEWAY, Action.SEE_GATEWAYS, gateway),
    Page("POST", f"{_GATEWAY}/enrolment", Action.ADD_GATEWAYS, renew_code),
    Page("POST", f"{_GATEWAY}/devices", Action.ADD_GATEWAYS, add_device),
    Page("POST", f"{_GATEWAY}/devices/{{device}}/remove", Action.ADD_GATEWAYS, remove_device),
)


async def shown_gateway(visit: Visit) -> GatewayView:
    """The gateway of the address; raises NotFoundError."""
    wanted = visit.call.request.match_info["gateway"]
    listed = (await api_endpoints.list_gateways(visit.call)).gateways
    found = next((each for each in listed if each.id == wanted), None)
    if found is None:
        raise NotFoundError("gateway")
    return found


async def _bars(visit: Visit) -> list[Bar]:
    if not visit.may(Action.READ_AUDIT):
        return []
    return bars_of((await api_flows.of_gateway(visit.asking())).flows)


def _reach(
    users: Iterable[UserView], sessions: Iterable[SessionView]
) -> list[tuple[UserView, list[SessionView]]]:
    """Who may start something here, and what; whoever may start anything comes first."""
    listed = tuple(sessions)
    mine = [
        (user, [each for each in listed if _may_start(user, each)])
        for user in users
        if not user.disabled
    ]
    found = [(user, theirs) for user, theirs in mine if theirs or _is_free(user)]
    return sorted(found, key=lambda each: (not _is_free(each[0]), each[0].name))


def _may_start(user: UserView, session: SessionView) -> bool:
    return _is_free(user) or user.id in session.users


def _is_free(user: UserView) -> bool:
    return scope_of(user.role, Action.START_SESSIONS) is Scope.ALL


def _preset(key: str) -> dict[str, object]:
    preset = BY_KEY.get(key)
    if preset is None:
        raise InvalidError("bad_request", f"there is no service called {key[:20]!r}")
    return {"protocol": preset.protocol.value, "port": preset.port}


def _address(visit: Visit) -> str:
    return f"/gateways/{visit.call.request.match_info['gateway']}"


def _code_page(
    frame: Frame, visit: Visit, gateway_id: str, code: str, expires_ms: int
) -> web.Response:
    """The code is on this one page only; it cannot be asked for again."""
    return frame.show(
        visit,
        "gateway_code.html",
        gateway_id=gateway_id,
        code=code,
        code_until_ms=expires_ms,
        server=f"https://{frame.services.config.host}",
    )
