"""The steps of a session's life as units of work: each changes the store and goes on record.

In the order of that life. A step that is refused returns the refusal instead of raising it,
so that the refusal is recorded in the same transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from controld import lifecycle, store_audit, store_devices, store_endpoints, store_users
from controld.codes import new_id
from controld.errors import InvalidError, NotFoundError
from controld.lifecycle import Event, StartFacts, StartRefusal, next_state
from controld.records import CONTROLD, Actor, Entry, Session, SessionState
from controld.store_sessions import (
    add_session,
    add_ticket,
    get_session,
    save_session,
    spend_ticket,
    taken_link_pairs,
    void_tickets,
)
from rclib.wire.audit import AuditAction
from rclib.wire.ids import ClientId, SessionId
from rclib.wire.session import LINK_NETWORK, EndReason, LinkAddresses, PathKind, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.config import TimesConfig
    from controld.records import Device, LinkIdentity, User
    from controld.store import Tx
    from rclib.wire.control import TicketRedeem
    from rclib.wire.ids import DeviceId, GatewayId, UserId
    from rclib.wire.session import Protocol

_LINK_PAIRS: Final = LINK_NETWORK.num_addresses // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an administrator prepares."""

    name: str
    gateway: GatewayId
    targets: Sequence[tuple[DeviceId, Protocol, int | None]]
    users: Sequence[UserId]
    duration_s: int
    reason: str
    window_from_ms: int | None
    window_until_ms: int | None


def prepare(tx: Tx, plan: Plan, user: User, actor: Actor, now_ms: int) -> Session:
    """Create a session; raises NotFoundError for foreign objects, InvalidError for bad plans."""
    gateway = store_endpoints.get_gateway(tx, plan.gateway, user.organisation)
    devices = {device.id: device for device in store_devices.list_devices(tx, gateway.id)}
    targets = tuple(dict.fromkeys(_target(devices, *wanted) for wanted in plan.targets))
    users = tuple(dict.fromkeys(plan.users))
    for assigned in users:
        if store_users.get_user(tx, assigned, user.organisation).disabled:
            raise InvalidError("user_disabled", f"the user {assigned} is disabled")
    start, end = plan.window_from_ms, plan.window_until_ms
    if end is not None and (end <= now_ms or (start is not None and end <= start)):
        raise InvalidError("window_empty", "the window is over before it begins")
    session = Session(
        id=SessionId(new_id("ses")),
        organisation=user.organisation,
        gateway=gateway.id,
        gateway_name=gateway.name,
        name=plan.name,
        reason=plan.reason,
        duration_s=plan.duration_s,
        window_from_ms=start,
        window_until_ms=end,
        created_by=user.id,
        created_ms=now_ms,
        state=SessionState.PREPARED,
        targets=targets,
        users=users,
    )
    add_session(tx, session)
    detail = {"name": plan.name, "gateway": gateway.id, "targets": _spelt(targets)}
    _record(tx, AuditAction.SESSION_PREPARED, session, actor, now_ms, detail)
    return session


def start(
    tx: Tx, session: Session, facts: StartFacts, times: TimesConfig, ticket: str, actor: Actor
) -> Session | StartRefusal:
    """Check everything Start needs and issue the ticket, in one transaction."""
    now_ms = facts.now_ms
    refusal = lifecycle.refusal_to_start(session, facts)
    if refusal is not None:
        detail = {"reason": refusal.value}
        _record(tx, AuditAction.SESSION_START_REFUSED, session, actor, now_ms, detail)
        return refusal
    started = replace(
        session,
        state=next_state(session.state, Event.START),
        started_by=facts.user,
        started_ms=now_ms,
        redeem_by_ms=now_ms + times.ticket_s * 1000,
        not_after_ms=lifecycle.absolute_end_ms(session, now_ms),
    )
    save_session(tx, started)
    add_ticket(tx, started, facts.user, ticket, now_ms)
    _record(tx, AuditAction.SESSION_STARTED, started, actor, now_ms)
    return started


def redeem(
    tx: Tx, client: LinkIdentity, body: TicketRedeem, times: TimesConfig, now_ms: int
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
            _record(tx, AuditAction.TICKET_REFUSED, session, actor, now_ms)
        return None
    redeemed = replace(
        session,
        client=ClientId(client.endpoint),
        technician_key=body.tunnel_key,
        technician_signature=body.signature,
        link_pair=_free_link_pair(tx),
        answer_by_ms=now_ms + times.answer_s * 1000,
        lease_until_ms=lifecycle.lease_end_ms(session.not_after_ms or 0, times.lease_s, now_ms),
    )
    save_session(tx, redeemed)
    _record(tx, AuditAction.TICKET_REDEEMED, redeemed, actor, now_ms)
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
        _record(tx, AuditAction.SESSION_ACTIVE, changed, actor, now_ms, {"path": path.value})
    return changed


def renew(tx: Tx, session: Session, times: TimesConfig, now_ms: int) -> Session:
    """Extend the lease; never beyond the absolute end."""
    until = lifecycle.lease_end_ms(session.not_after_ms or 0, times.lease_s, now_ms)
    renewed = replace(session, lease_until_ms=until)
    save_session(tx, renewed)
    return renewed


def expire_ticket(tx: Tx, session: Session, now_ms: int) -> Session:
    """Nobody came with the ticket: back to prepared, as if Start had not been pressed."""
    state = next_state(session.state, Event.TICKET_EXPIRED)
    expired = replace(session, state=state, **_NOT_STARTED)
    void_tickets(tx, session.id, now_ms)
    save_session(tx, expired)
    detail = {"reason": "expired"}
    _record(tx, AuditAction.TICKET_REFUSED, expired, CONTROLD, now_ms, detail)
    return expired


def end(
    tx: Tx,
    session: Session,
    reason: EndReason,
    actor: Actor,
    now_ms: int,
    why: dict[str, str] | None = None,
) -> Session | None:
    """End a session; None if it had ended before."""
    if session.state is SessionState.ENDED:
        return None
    state = next_state(session.state, Event.END)
    ended = replace(session, state=state, ended_ms=now_ms, end_reason=reason)
    void_tickets(tx, session.id, now_ms)
    save_session(tx, ended)
    detail = {"reason": reason.value, "path": session.path.value if session.path else ""}
    _record(tx, AuditAction.SESSION_ENDED, ended, actor, now_ms, detail | (why or {}))
    return ended


def link_addresses(session: Session) -> LinkAddresses:
    """The two ends' addresses inside the tunnel; only after the ticket was redeemed."""
    if session.link_pair is None:
        raise AssertionError(f"{session.id} has no link addresses before its ticket is redeemed")
    first = session.link_pair * 2
    return LinkAddresses(technician=str(LINK_NETWORK[first]), gateway=str(LINK_NETWORK[first + 1]))


_NOT_STARTED: Final[dict[str, Any]] = {
    "started_by": None,
    "started_ms": None,
    "redeem_by_ms": None,
    "not_after_ms": None,
}
"""What a start sets and an unused ticket takes back; the rest comes with the redeemed ticket."""


def _target(
    devices: dict[DeviceId, Device], device: DeviceId, protocol: Protocol, port: int | None
) -> Target:
    if device not in devices:
        raise NotFoundError("device")
    found = devices[device]
    offered = any(
        service.protocol is protocol and service.port in {port, None} for service in found.services
    )
    if not offered:
        raise InvalidError(
            "service_not_offered",
            f"{found.name} has no service {protocol} {port or ''}; add it to the device first",
        )
    return Target(
        device=device,
        name=found.name,
        address=found.address,
        protocol=protocol,
        port=port,
        virtual=found.virtual,
        source_nat=found.source_nat,
    )


def _free_link_pair(tx: Tx) -> int:
    """A pair no open session has; random, so that a stale packet meets nobody's new session."""
    taken = taken_link_pairs(tx)
    while True:
        pair = 1 + secrets.randbelow(_LINK_PAIRS - 1)  # 0 would be the network's own address
        if pair not in taken:
            return pair


def _spelt(targets: Sequence[Target]) -> str:
    text = ", ".join(f"{t.name} {t.address} {t.protocol} {t.port or ''}".strip() for t in targets)
    return text if len(text) <= 400 else f"{text[:400]}…"  # noqa: PLR2004 -- one line of a report


def _record(
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
