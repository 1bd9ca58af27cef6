"""The steps of a session's life as units of work: each changes the store and goes on record.

In the order of that life. A step that is refused returns the refusal instead of raising it,
so that the refusal is recorded in the same transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from controld import lifecycle, start_rules, store_audit
from controld.errors import NotFoundError
from controld.lifecycle import Event, next_state
from controld.records import (
    CONTROLD,
    FINAL_STATES,
    WAITING_STATES,
    Actor,
    Entry,
    ReasonPolicy,
    Session,
    SessionState,
)
from controld.store_sessions import (
    add_ticket,
    get_session,
    save_session,
    spend_ticket,
    taken_link_pairs,
    void_tickets,
)
from rclib.wire.audit import AuditAction
from rclib.wire.ids import ClientId
from rclib.wire.session import LINK_NETWORK, EndReason, LinkAddresses, PathKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.config import TimesConfig
    from controld.records import LinkIdentity
    from controld.start_rules import StartFacts, StartRefusal
    from controld.store import Tx
    from rclib.wire.control import TicketRedeem
    from rclib.wire.ids import GatewayId

_LINK_PAIRS: Final = LINK_NETWORK.num_addresses // 2


@dataclass(frozen=True, slots=True)
class Why:
    """What a technician says at the start; empty leaves what the preparation says."""

    reason: str = ""
    reference: str = ""


def start(
    tx: Tx,
    session: Session,
    facts: StartFacts,
    why: Why,
    times: TimesConfig,
    ticket: str,
    actor: Actor,
) -> Session | StartRefusal:
    """Check everything Start needs and issue the ticket, in one transaction."""
    now_ms = facts.now_ms
    if facts.policy.reason is not ReasonPolicy.OFF:
        session = replace(
            session,
            reason=why.reason or session.reason,
            reference=why.reference or session.reference,
        )
    refusal = start_rules.refusal_to_start(session, facts)
    if refusal is not None:
        detail = {"reason": refusal.value}
        record(tx, AuditAction.SESSION_START_REFUSED, session, actor, now_ms, detail)
        return refusal
    started = replace(
        session,
        state=next_state(session.state, Event.START),
        started_by=facts.user,
        started_ms=now_ms,
        redeem_by_ms=now_ms + times.ticket_s * 1000,
        started_from=actor.source,
        not_after_ms=start_rules.absolute_end_ms(session, facts.policy, now_ms),
    )
    save_session(tx, started)
    add_ticket(tx, started, facts.user, ticket, now_ms)
    detail = {"reason": started.reason, "reference": started.reference}
    detail["released_by"] = started.released_by or ""
    record(tx, AuditAction.SESSION_STARTED, started, actor, now_ms, detail)
    return started


def redeem(
    tx: Tx,
    client: LinkIdentity,
    body: TicketRedeem,
    times: TimesConfig,
    now_ms: int,
    region_of: Callable[[GatewayId], str] = lambda _: "",
) -> Session | None:
    """Spend the ticket and reserve what the session needs; None: the ticket does not admit."""
    actor = Actor(client.endpoint, client.name)
    try:
        session = get_session(tx, body.session)
    except NotFoundError:
        return None
    admits = (
        client.user is not None
        and session.state is SessionState.STARTING
        and session.client is None
        and session.started_by == client.user
        and spend_ticket(tx, session.id, client.user, body.ticket, now_ms)
    )
    if not admits:
        if session.organisation == client.organisation:
            record(tx, AuditAction.TICKET_REFUSED, session, actor, now_ms)
        return None
    redeemed = replace(
        session,
        client=ClientId(client.endpoint),
        technician_key=body.tunnel_key,
        technician_signature=body.signature,
        link_pair=_free_link_pair(tx),
        region=region_of(session.gateway),
        answer_by_ms=now_ms + times.answer_s * 1000,
        lease_until_ms=lifecycle.lease_end_ms(session.not_after_ms or 0, times.lease_s, now_ms),
    )
    save_session(tx, redeemed)
    record(tx, AuditAction.TICKET_REDEEMED, redeemed, actor, now_ms, {"region": redeemed.region})
    return redeemed


def note_answer(tx: Tx, session: Session) -> Session:
    """Remember that the gateway's side is open."""
    answered = replace(session, answered=True)
    save_session(tx, answered)
    return answered


def progress(tx: Tx, session: Session, path: PathKind, actor: Actor, now_ms: int) -> Session:
    """Note the path in use; the first that carries packets makes the session active."""
    if path is PathKind.CONNECTING:
        if session.state is not SessionState.ACTIVE:
            return session
        changed = replace(session, path=path)
    else:
        changed = replace(session, path=path, state=next_state(session.state, Event.HANDSHAKE))
    save_session(tx, changed)
    if session.state is not changed.state:
        record(tx, AuditAction.SESSION_ACTIVE, changed, actor, now_ms, {"path": path.value})
    return changed


def renew(tx: Tx, session: Session, times: TimesConfig, now_ms: int) -> Session:
    """Extend the lease; never beyond the absolute end."""
    until = lifecycle.lease_end_ms(session.not_after_ms or 0, times.lease_s, now_ms)
    renewed = replace(session, lease_until_ms=until)
    save_session(tx, renewed)
    return renewed


def expire_ticket(tx: Tx, session: Session, now_ms: int) -> Session:
    """Nobody came with the ticket: back to prepared, as if Start had not been pressed."""
    event = Event.UNUSED if session.released_ms is None else Event.UNUSED_RELEASED
    expired = replace(session, state=next_state(session.state, event), **NOT_STARTED)
    void_tickets(tx, session.id, now_ms)
    save_session(tx, expired)
    detail = {"reason": "expired"}
    record(tx, AuditAction.TICKET_REFUSED, expired, CONTROLD, now_ms, detail)
    return expired


def end(
    tx: Tx,
    session: Session,
    reason: EndReason,
    actor: Actor,
    now_ms: int,
    why: dict[str, str] | None = None,
) -> Session | None:
    """End a session, whatever it is called then; None if it was over before."""
    if session.state in FINAL_STATES:
        return None
    state = next_state(session.state, _end_event(session, reason))
    ended = replace(session, state=state, ended_ms=now_ms, end_reason=reason)
    void_tickets(tx, session.id, now_ms)
    save_session(tx, ended)
    detail = {
        "reason": reason.value,
        "path": session.path.value if session.path else "",
        "released_by": session.released_by or "",
    }
    record(tx, AuditAction.SESSION_ENDED, ended, actor, now_ms, detail | (why or {}))
    return ended


def link_addresses(session: Session) -> LinkAddresses:
    """The two ends' addresses inside the tunnel; only after the ticket was redeemed."""
    if session.link_pair is None:
        raise AssertionError(f"{session.id} has no link addresses before its ticket is redeemed")
    first = session.link_pair * 2
    return LinkAddresses(technician=str(LINK_NETWORK[first]), gateway=str(LINK_NETWORK[first + 1]))


NOT_STARTED: Final[dict[str, Any]] = {
    "started_by": None,
    "started_ms": None,
    "started_from": "",
    "redeem_by_ms": None,
    "not_after_ms": None,
    "client": None,
    "technician_key": None,
    "technician_signature": None,
    "link_pair": None,
    "asked_plant": False,
    "answer_by_ms": None,
    "lease_until_ms": None,
    "answered": False,
    "path": None,
}
"""What a start sets, and what takes it back."""


def _end_event(session: Session, reason: EndReason) -> Event:
    if reason is EndReason.REFUSED and session.state is SessionState.STARTING:
        return Event.TURN_AWAY
    if reason is EndReason.TIME_OVER and session.state in WAITING_STATES:
        return Event.EXPIRE
    return Event.END


def _free_link_pair(tx: Tx) -> int:
    """A pair no open session has; random, so that a stale packet meets nobody's new session."""
    taken = taken_link_pairs(tx)
    while True:
        pair = 1 + secrets.randbelow(_LINK_PAIRS - 1)  # 0 would be the network's own address
        if pair not in taken:
            return pair


def record(
    tx: Tx,
    action: AuditAction,
    session: Session,
    actor: Actor,
    now_ms: int,
    detail: dict[str, str] | None = None,
) -> None:
    entry = Entry(
        action=action,
        organisation=session.organisation,
        actor=actor,
        session=session.id,
        subject=session.gateway,
        detail=detail,
    )
    store_audit.append(tx, entry, now_ms)
