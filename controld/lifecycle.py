"""The life of a session as a table, and what time does to it. Pure: time and presence come in.

                  ┌──────────── changed ────────────┬──────────────┐
                  ▼                                 │              │
prepared ──request──▶ requested ──release──▶ released              │
    │  ▲                  │                    │  ▲                │
    │  └─── unused ───┐   └─refuse─▶ refused   │  └─ unused ─┐     │
    │                 │                 ▲      │             │     │
    └──────start──────┴──▶ starting ◀───┼──────┴─────────────┘     │
                              │ └───────┘ turned away              │
                              └──handshake──▶ active ──────────────┘

Each of them ends when it is ended; what waits past its window expires. A release by the plant
(`plant_release`) happens inside `starting`: the plant releases one computer's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from controld.records import FINAL_STATES, WAITING_STATES, Session, SessionState
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Event(StrEnum):
    """What moves a session."""

    REQUEST = "request"
    RELEASE = "release"
    REFUSE = "refuse"
    LAPSE = "lapse"  # a release nobody used in time
    CHANGE = "change"  # of devices, ports, users or times
    START = "start"
    UNUSED = "unused"  # the ticket's time is over
    UNUSED_RELEASED = "unused_released"
    TURN_AWAY = "turn_away"  # by the plant, or because an end cannot take part
    HANDSHAKE = "handshake"
    EXPIRE = "expire"
    END = "end"


_S = SessionState
TRANSITIONS: Final[Mapping[tuple[SessionState, Event], SessionState]] = MappingProxyType(
    {
        (_S.PREPARED, Event.REQUEST): _S.REQUESTED,
        (_S.REQUESTED, Event.RELEASE): _S.RELEASED,
        (_S.REQUESTED, Event.REFUSE): _S.REFUSED,
        (_S.RELEASED, Event.LAPSE): _S.PREPARED,
        (_S.PREPARED, Event.START): _S.STARTING,
        (_S.RELEASED, Event.START): _S.STARTING,
        (_S.STARTING, Event.START): _S.STARTING,  # pressed again: a new ticket voids the old
        (_S.STARTING, Event.UNUSED): _S.PREPARED,
        (_S.STARTING, Event.UNUSED_RELEASED): _S.RELEASED,
        (_S.STARTING, Event.TURN_AWAY): _S.REFUSED,
        (_S.STARTING, Event.HANDSHAKE): _S.ACTIVE,
        (_S.ACTIVE, Event.HANDSHAKE): _S.ACTIVE,  # the path changed
        **{(state, Event.CHANGE): _S.PREPARED for state in _S if state not in FINAL_STATES},
        **{(state, Event.EXPIRE): _S.EXPIRED for state in WAITING_STATES},
        **{(state, Event.END): _S.ENDED for state in _S if state not in FINAL_STATES},
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


def lease_end_ms(not_after_ms: int, lease_s: int, now_ms: int) -> int:
    return min(now_ms + lease_s * 1000, not_after_ms)


class Due(StrEnum):
    """What time has made necessary, besides ending."""

    EXPIRE = "expire"
    LAPSE = "lapse"
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
    release_s: int


def due(
    session: Session, presence: Presence, patience: Patience, now_ms: int
) -> Due | EndReason | None:
    """What has to happen to this session now. Missing times count as over."""
    match session.state:
        case _S.PREPARED | _S.REQUESTED | _S.RELEASED:
            return _due_while_waiting(session, patience, now_ms)
        case _S.STARTING:
            return _due_while_starting(session, now_ms)
        case _S.ACTIVE:
            return _due_while_active(session, presence, patience, now_ms)
        case _S.ENDED | _S.REFUSED | _S.EXPIRED:
            return None


def _due_while_waiting(session: Session, patience: Patience, now_ms: int) -> Due | None:
    if session.window_until_ms is not None and now_ms >= session.window_until_ms:
        return Due.EXPIRE
    lapses_ms = (session.released_ms or 0) + patience.release_s * 1000
    return Due.LAPSE if session.state is _S.RELEASED and now_ms >= lapses_ms else None


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
