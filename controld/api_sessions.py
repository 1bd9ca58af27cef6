"""Preparing, starting, seeing and ending sessions."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from controld import session_plans, session_releases, sessions, store_policies, store_users
from controld.api import Call, Choice, Number, Route
from controld.api_types import (
    SessionChange,
    SessionLink,
    SessionList,
    SessionRequest,
    SessionView,
    StartRequest,
)
from controld.codes import new_token
from controld.errors import ConflictError, ForbiddenError, NotFoundError
from controld.roles import Action, Scope, scope_of
from controld.session_plans import Plan
from controld.sessions import Why
from controld.start_rules import StartFacts, StartRefusal
from controld.store_sessions import Wanted, count_open, cursor_of, get_session, list_sessions
from rclib.wire.ids import EndpointId, GatewayId, SessionId, UserId
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from controld.records import Session, User
    from controld.session_plans import Changed
    from controld.store import Tx

LIMIT: Final = Number("limit", 100, low=1, high=500)
PAST: Final = "past"
GATEWAY: Final = Choice("gateway")
USER: Final = Choice("user")
SHOW: Final = Choice("show", ("open", PAST))

_REFUSED: Final[dict[StartRefusal, str]] = {
    StartRefusal.NOT_ASSIGNED: "this session is not released for you",
    StartRefusal.SESSION_OVER: "this session has ended; let a new one be prepared",
    StartRefusal.ALREADY_STARTED: "this session is already in use",
    StartRefusal.NOT_RELEASED: "a second person has to release this session first",
    StartRefusal.RELEASED_BY_YOU: "you released this session, so somebody else has to use it",
    StartRefusal.REASON_REQUIRED: "this plant wants to know why; start with a reason",
    StartRefusal.NO_MAINTENANCE: "the plant allows remote maintenance at other times",
    StartRefusal.GATEWAY_BUSY: "as many sessions as this gateway allows are open already",
    StartRefusal.USER_BUSY: "you have as many sessions open as one user may have; end one first",
    StartRefusal.WINDOW_NOT_OPEN: "the session's time window has not begun",
    StartRefusal.WINDOW_OVER: "the session's time window is over",
    StartRefusal.NO_RELAY: "no relay is configured; add one to controld.toml ([[relays]])",
    StartRefusal.GATEWAY_OFFLINE: "the gateway is offline: without network, or switched off on "
    "its AMS page, which only the plant can change",
    StartRefusal.ACCESS_OFF: "remote access is switched off on the gateway's AMS page",
}


async def list_(call: Call) -> SessionList:
    limit, cursor = call.number(LIMIT), call.cursor()
    gateway, user, show = (call.choice(choice) for choice in (GATEWAY, USER, SHOW))
    users = {UserId(user)} if user else set()
    if scope_of(call.user.role, Action.SEE_SESSIONS) is not Scope.ALL:
        users.add(call.user.id)
    wanted = Wanted(
        users=frozenset(users),
        gateway=GatewayId(gateway) if gateway else None,
        is_over=None if show is None else show == PAST,
    )
    found = await call.services.store.read(
        lambda tx: list_sessions(tx, call.user.organisation, wanted, limit + 1, cursor)
    )
    more = cursor_of(found[limit - 1]) if len(found) > limit else None
    return SessionList(tuple(_view(call, session) for session in found[:limit]), more)


async def prepare(call: Call) -> SessionView:
    plan = _plan(await call.body(SessionRequest))
    return await call.create(
        SessionView,
        lambda tx: _view(call, session_plans.prepare(tx, plan, call.user, call.actor, call.now_ms)),
    )


async def change(call: Call) -> SessionView:
    """Another plan, wholly; see `session_plans.change` for what that undoes."""
    request = await call.body(SessionChange)
    revision = call.expected_revision()

    def work(tx: Tx) -> Changed:
        session = visible(tx, call)
        plan = _plan(request, session.gateway)
        return session_plans.change(tx, session, plan, revision, call.user, call.actor, call.now_ms)

    changed = await call.services.store.write(work)
    if changed.closed is not None:
        call.services.keeper.tell_closed(changed.closed, EndReason.TARGETS_CHANGED)
    return _view(call, changed.session)


async def show(call: Call) -> SessionView:
    session = await call.services.store.read(lambda tx: visible(tx, call))
    return _view(call, session)


async def start(call: Call) -> SessionLink:
    """Everything Start needs is checked in the transaction that issues the ticket."""
    services = call.services
    request = await call.optional_body(StartRequest) or StartRequest()
    why, ticket = Why(request.reason, request.reference), new_token()

    def work(tx: Tx) -> Session | StartRefusal:
        session = visible(tx, call)
        user = store_users.get_user(tx, call.user.id)
        if user.disabled:
            return StartRefusal.NOT_ASSIGNED
        facts = StartFacts(
            user=user.id,
            role=user.role,
            policy=store_policies.get_policy(tx, session.gateway),
            access=services.hub.access_of(EndpointId(session.gateway)),
            has_relay=services.admissions.has_relay,
            open_at_gateway=count_open(tx, session.id, gateway=session.gateway),
            open_of_user=count_open(tx, session.id, user=user.id),
            max_of_user=services.config.limits.sessions_per_user,
            now_ms=call.now_ms,
        )
        return sessions.start(tx, session, facts, why, services.config.times, ticket, call.actor)

    started = await services.store.write(work)
    if isinstance(started, StartRefusal):
        refuse = ForbiddenError if started is StartRefusal.NOT_ASSIGNED else ConflictError
        raise refuse(started.value, _REFUSED[started])
    return SessionLink(_link(call, started.id, ticket), started.redeem_by_ms or 0)


async def request_release(call: Call) -> SessionView:
    """Ask for a second person's word (policy four_eyes)."""
    session = await call.services.store.write(
        lambda tx: session_releases.request(
            tx, visible(tx, call), call.user, call.actor, call.now_ms
        )
    )
    return _view(call, session)


async def release(call: Call) -> SessionView:
    """Be the second person."""
    session = await call.services.store.write(
        lambda tx: session_releases.release(
            tx, visible(tx, call), call.user, call.actor, call.now_ms
        )
    )
    return _view(call, session)


async def refuse(call: Call) -> SessionView:
    """Refuse what was asked for; the session is over."""
    session = await call.services.store.write(
        lambda tx: session_releases.refuse(tx, visible(tx, call), call.actor, call.now_ms)
    )
    return _view(call, session)


async def end(call: Call) -> None:
    """Ends a session; one that has ended stays as it is."""
    session = await call.services.store.read(lambda tx: visible(tx, call))
    is_own = session.started_by == call.user.id
    if not is_own and scope_of(call.user.role, Action.END_SESSIONS) is not Scope.ALL:
        raise ForbiddenError("not_yours", "somebody else is using this session")
    reason = EndReason.TECHNICIAN if is_own else EndReason.ADMINISTRATOR
    await call.services.keeper.end(session.id, reason, call.actor)


_SESSION = "/api/v1/sessions/{session}"
ROUTES = (
    Route(
        method="GET",
        path="/api/v1/sessions",
        needs=Action.SEE_SESSIONS,
        handle=list_,
        gives=SessionList,
        numbers=(LIMIT,),
        choices=(GATEWAY, USER, SHOW),
        has_cursor=True,
    ),
    Route(
        method="POST",
        path="/api/v1/sessions",
        needs=Action.PREPARE_SESSIONS,
        handle=prepare,
        takes=SessionRequest,
        gives=SessionView,
        status=HTTPStatus.CREATED,
    ),
    Route(method="GET", path=_SESSION, needs=Action.SEE_SESSIONS, handle=show, gives=SessionView),
    Route(
        method="PUT",
        path=_SESSION,
        needs=Action.CHANGE_SESSION_DEVICES,
        handle=change,
        takes=SessionChange,
        gives=SessionView,
        is_change=True,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/request",
        needs=Action.START_SESSIONS,
        handle=request_release,
        gives=SessionView,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/release",
        needs=Action.RELEASE_SESSIONS,
        handle=release,
        gives=SessionView,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/refuse",
        needs=Action.RELEASE_SESSIONS,
        handle=refuse,
        gives=SessionView,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/start",
        needs=Action.START_SESSIONS,
        handle=start,
        takes=StartRequest,
        gives=SessionLink,
        is_optional=True,
    ),
    Route(method="POST", path=f"{_SESSION}/end", needs=Action.END_SESSIONS, handle=end),
)


def visible(tx: Tx, call: Call) -> Session:
    """The session of the address, if the caller may know of it; raises NotFoundError."""
    session = get_session(tx, SessionId(call.request.match_info["session"]))
    if not sees(call.user, session):
        raise NotFoundError("session")
    return session


def sees(user: User, session: Session) -> bool:
    if session.organisation != user.organisation:
        return False
    match scope_of(user.role, Action.SEE_SESSIONS):
        case Scope.ALL:
            return True
        case Scope.OWN:
            return user.id in session.users or session.started_by == user.id
        case Scope.NONE:
            return False


def _plan(request: SessionRequest | SessionChange, gateway: GatewayId | None = None) -> Plan:
    if isinstance(request, SessionRequest):
        gateway = request.gateway
    if gateway is None:
        raise AssertionError("a plan is for a gateway")
    return Plan(
        name=request.name,
        gateway=gateway,
        targets=[(t.device, t.protocol, t.port) for t in request.targets],
        users=request.users,
        duration_s=request.duration_s,
        reason=request.reason,
        reference=request.reference,
        window_from_ms=request.window_from_ms,
        window_until_ms=request.window_until_ms,
    )


def _link(call: Call, session: SessionId, ticket: str) -> str:
    host = call.services.config.host
    at = f"[{host}]" if ":" in host else host
    query = urlencode({"session": session, "ticket": ticket})
    return f"remoteconnect://{at}:{call.services.public_port}/connect?{query}"


def _view(call: Call, session: Session) -> SessionView:
    return SessionView(
        id=session.id,
        organisation=session.organisation,
        name=session.name,
        gateway=session.gateway,
        gateway_name=session.gateway_name,
        gateway_online=call.services.hub.access_of(EndpointId(session.gateway)) is not None,
        state=session.state,
        path=session.path,
        targets=session.targets,
        users=session.users,
        duration_s=session.duration_s,
        reason=session.reason,
        reference=session.reference,
        revision=session.revision,
        client=session.client,
        waits_for_plant=session.asked_plant and session.released_ms is None,
        requested_by=session.requested_by,
        requested_ms=session.requested_ms,
        released_by=session.released_by,
        released_ms=session.released_ms,
        window_from_ms=session.window_from_ms,
        window_until_ms=session.window_until_ms,
        created_by=session.created_by,
        created_ms=session.created_ms,
        started_by=session.started_by,
        started_ms=session.started_ms,
        not_after_ms=session.not_after_ms,
        ended_ms=session.ended_ms,
        end_reason=session.end_reason,
    )
