"""May this session start now? Pure: everything it depends on is passed in; missing means no."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from controld.maintenance import open_until_ms
from controld.records import FINAL_STATES, ReasonPolicy, ReleasePolicy, SessionState
from controld.roles import Action, Scope, scope_of
from rclib.wire.access import AccessMode

if TYPE_CHECKING:
    from controld.records import GatewayPolicy, Session
    from controld.roles import Role
    from rclib.wire.ids import UserId


class StartRefusal(StrEnum):
    """Why Start is not possible; the API's error codes."""

    NOT_ASSIGNED = "not_assigned"
    SESSION_OVER = "session_over"
    ALREADY_STARTED = "already_started"
    NOT_RELEASED = "not_released"
    RELEASED_BY_YOU = "released_by_you"
    REASON_REQUIRED = "reason_required"
    WINDOW_NOT_OPEN = "window_not_open"
    WINDOW_OVER = "window_over"
    NO_MAINTENANCE = "no_maintenance"
    NO_RELAY = "no_relay"
    GATEWAY_OFFLINE = "gateway_offline"
    ACCESS_OFF = "access_off"
    GATEWAY_BUSY = "gateway_busy"
    USER_BUSY = "user_busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFacts:
    """Everything Start depends on besides the session itself."""

    user: UserId
    role: Role
    policy: GatewayPolicy
    access: AccessMode | None
    """The gateway's state as last told on its open link; None without a link."""
    has_relay: bool
    open_at_gateway: int
    """Other sessions that are open there now."""
    open_of_user: int
    max_of_user: int
    now_ms: int


def refusal_to_start(session: Session, facts: StartFacts) -> StartRefusal | None:
    """Why this start is refused, or None. What is not known counts as a refusal."""
    now_ms, policy = facts.now_ms, facts.policy
    scope = scope_of(facts.role, Action.START_SESSIONS)
    refusals = (
        (
            StartRefusal.NOT_ASSIGNED,
            scope is Scope.NONE or (scope is Scope.OWN and facts.user not in session.users),
        ),
        (StartRefusal.SESSION_OVER, session.state in FINAL_STATES),
        (StartRefusal.ALREADY_STARTED, _is_taken(session, facts.user)),
        (StartRefusal.NOT_RELEASED, _lacks_release(session, policy.release)),
        (StartRefusal.RELEASED_BY_YOU, session.released_by == facts.user),
        (
            StartRefusal.REASON_REQUIRED,
            policy.reason is ReasonPolicy.REQUIRED and not session.reason.strip(),
        ),
        (StartRefusal.WINDOW_NOT_OPEN, now_ms < (session.window_from_ms or 0)),
        (
            StartRefusal.WINDOW_OVER,
            session.window_until_ms is not None and now_ms >= session.window_until_ms,
        ),
        (StartRefusal.NO_MAINTENANCE, maintenance_end_ms(policy, now_ms) == now_ms),
        (StartRefusal.NO_RELAY, not facts.has_relay),
        (StartRefusal.GATEWAY_OFFLINE, facts.access is None),
        (StartRefusal.ACCESS_OFF, facts.access not in {AccessMode.ON, AccessMode.ON_UNTIL}),
        (StartRefusal.GATEWAY_BUSY, facts.open_at_gateway >= policy.max_sessions),
        (StartRefusal.USER_BUSY, facts.open_of_user >= facts.max_of_user),
    )
    return next((refusal for refusal, applies in refusals if applies), None)


def absolute_end_ms(session: Session, policy: GatewayPolicy, now_ms: int) -> int:
    """When a session started now is over, whatever is renewed."""
    bounds = [now_ms + min(session.duration_s, policy.max_duration_s) * 1000]
    if session.window_until_ms is not None:
        bounds.append(session.window_until_ms)
    closes_ms = maintenance_end_ms(policy, now_ms)
    if closes_ms is not None:
        bounds.append(closes_ms)
    return min(bounds)


def maintenance_end_ms(policy: GatewayPolicy, now_ms: int) -> int | None:
    """When the plant's window closes: `now_ms` if it is shut, None without any windows."""
    if not policy.windows:
        return None
    until_ms = open_until_ms(policy.windows, policy.time_zone, now_ms)
    return now_ms if until_ms is None else until_ms


def _is_taken(session: Session, user: UserId) -> bool:
    if session.state is SessionState.STARTING:
        return session.client is not None or session.started_by != user
    return session.state is SessionState.ACTIVE


def _lacks_release(session: Session, policy: ReleasePolicy) -> bool:
    """The plant's release comes after the ticket; that of a second person before the start."""
    if policy is not ReleasePolicy.FOUR_EYES:
        return False
    return session.released_by is None or session.released_ms is None
