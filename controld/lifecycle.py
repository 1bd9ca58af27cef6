"""The life of a session as a table and two questions. Pure: time and presence are passed in.

prepared ──start──▶ starting ──handshake──▶ active
    ▲                  │ │                     │
    └─ticket expired───┘ └────────end──────────┴──▶ ended
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from controld.records import Session, SessionState
from controld.roles import Action, Role, Scope, scope_of
from rclib.wire.access import AccessMode
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rclib.wire.ids import UserId


class Event(StrEnum):
    """What moves a session."""

    START = "start"
    TICKET_EXPIRED = "ticket_expired"
    HANDSHAKE = "handshake"
    END = "end"


_S = SessionState
TRANSITIONS: Final[Mapping[tuple[SessionState, Event], SessionState]] = MappingProxyType(
    {
        (_S.PREPARED, Event.START): _S.STARTING,
        (_S.STARTING, Event.START): _S.STARTING,  # pressed again: a new ticket voids the old
        (_S.STARTING, Event.TICKET_EXPIRED): _S.PREPARED,
        (_S.STARTING, Event.HANDSHAKE): _S.ACTIVE,
        (_S.ACTIVE, Event.HANDSHAKE): _S.ACTIVE,  # the path changed
        (_S.PREPARED, Event.END): _S.ENDED,
        (_S.STARTING, Event.END): _S.ENDED,
        (_S.ACTIVE, Event.END): _S.ENDED,
    }
)


class TransitionError(Exception):
    """The session is not in a state in which this can happen."""

    def __init__(self, state: SessionState, event: Event) -> None:
        super().__init__(f"a session that is {state} cannot {event}")
        self.state = state
        self.event = event


def next_state(state: SessionState, event: Event) -> SessionState:
    """The state after `event`; raises TransitionError."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(state, event) from None


class StartRefusal(StrEnum):
    """Why Start is not possible; the API's error codes."""

    NOT_ASSIGNED = "not_assigned"
    SESSION_OVER = "session_over"
    ALREADY_STARTED = "already_started"
    WINDOW_NOT_OPEN = "window_not_open"
    WINDOW_OVER = "window_over"
    NO_RELAY = "no_relay"
    GATEWAY_OFFLINE = "gateway_offline"
    ACCESS_OFF = "access_off"


@dataclass(frozen=True, slots=True)
class StartFacts:
    """Everything Start depends on besides the session itself."""

    user: UserId
    role: Role
    access: AccessMode | None
    """The gateway's state as last told on its open link; None without a link."""
    has_relay: bool
    now_ms: int


def refusal_to_start(session: Session, facts: StartFacts) -> StartRefusal | None:
    """Why this start is refused, or None. What is not known counts as a refusal."""
    scope = scope_of(facts.role, Action.START_SESSIONS)
    refusals = (
        (
            StartRefusal.NOT_ASSIGNED,
            scope is Scope.NONE or (scope is Scope.OWN and facts.user not in session.users),
        ),
        (StartRefusal.SESSION_OVER, session.state is _S.ENDED),
        (StartRefusal.ALREADY_STARTED, _is_taken(session, facts.user)),
        (StartRefusal.WINDOW_NOT_OPEN, facts.now_ms < (session.window_from_ms or 0)),
        (
            StartRefusal.WINDOW_OVER,
            session.window_until_ms is not None and facts.now_ms >= session.window_until_ms,
        ),
        (StartRefusal.NO_RELAY, not facts.has_relay),
        (StartRefusal.GATEWAY_OFFLINE, facts.access is None),
        (StartRefusal.ACCESS_OFF, facts.access not in {AccessMode.ON, AccessMode.ON_UNTIL}),
    )
    return next((refusal for refusal, applies in refusals if applies), None)


def absolute_end_ms(session: Session, now_ms: int) -> int:
    """When a session started now is over, whatever is renewed."""
    end = now_ms + session.duration_s * 1000
    return end if session.window_until_ms is None else min(end, session.window_until_ms)


def lease_end_ms(not_after_ms: int, lease_s: int, now_ms: int) -> int:
    return min(now_ms + lease_s * 1000, not_after_ms)


class Due(StrEnum):
    """What time has made necessary, besides ending."""

    EXPIRE_TICKET = "expire_ticket"
    GIVE_UP_ANSWER = "give_up_answer"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Presence:
    """What the control links say about the two ends."""

    gateway_linked: bool
    client_gone_ms: int | None
    """Since when the technician's link is away; None while it is open."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The configured times the judgement depends on, in seconds."""

    lease_s: int
    client_grace_s: int


def due(
    session: Session, presence: Presence, patience: Patience, now_ms: int
) -> Due | EndReason | None:
    """What has to happen to this session now. Missing times count as over."""
    match session.state:
        case _S.PREPARED:
            over = session.window_until_ms is not None and now_ms >= session.window_until_ms
            return EndReason.TIME_OVER if over else None
        case _S.STARTING:
            return _due_while_starting(session, now_ms)
        case _S.ACTIVE:
            return _due_while_active(session, presence, patience, now_ms)
        case _S.ENDED:
            return None


def _is_taken(session: Session, user: UserId) -> bool:
    if session.state is _S.STARTING:
        return session.client is not None or session.started_by != user
    return session.state is _S.ACTIVE


def _due_while_starting(session: Session, now_ms: int) -> Due | EndReason | None:
    if session.client is None:
        return Due.EXPIRE_TICKET if now_ms >= (session.redeem_by_ms or 0) else None
    if not session.answered:
        return Due.GIVE_UP_ANSWER if now_ms >= (session.answer_by_ms or 0) else None
    return EndReason.LEASE_ENDED if now_ms >= (session.lease_until_ms or 0) else None


def _due_while_active(
    session: Session, presence: Presence, patience: Patience, now_ms: int
) -> Due | EndReason | None:
    not_after = session.not_after_ms or 0
    lease_until = session.lease_until_ms or 0
    if now_ms >= not_after:
        return EndReason.TIME_OVER
    if now_ms >= lease_until:
        return EndReason.LEASE_ENDED if presence.gateway_linked else EndReason.GATEWAY_GONE
    gone = presence.client_gone_ms
    if gone is not None and now_ms - gone >= patience.client_grace_s * 1000:
        return EndReason.TECHNICIAN_GONE
    renew_at = lease_until - patience.lease_s * 1000 * 2 // 3
    if presence.gateway_linked and lease_until < not_after and now_ms >= renew_at:
        return Due.RENEW
    return None
