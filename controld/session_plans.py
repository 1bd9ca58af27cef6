"""What administrators decide about a session, before and after it exists: preparing, changing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from controld import store_devices, store_endpoints, store_policies, store_users
from controld.codes import new_id
from controld.errors import ChangedError, ConflictError, InvalidError, NotFoundError
from controld.lifecycle import Event, TransitionError, next_state
from controld.records import OPEN_STATES, Session, SessionState
from controld.sessions import NOT_STARTED, record
from controld.store_sessions import add_session, save_plan, save_session, void_tickets
from rclib.wire.audit import MAX_DETAIL, AuditAction
from rclib.wire.ids import SessionId
from rclib.wire.session import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.records import Actor, Device, User
    from controld.store import Tx
    from rclib.wire.ids import DeviceId, GatewayId, UserId
    from rclib.wire.session import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an administrator wants of a session."""

    name: str
    gateway: GatewayId
    targets: Sequence[tuple[DeviceId, Protocol, int | None]]
    users: Sequence[UserId]
    duration_s: int
    reason: str
    reference: str = ""
    window_from_ms: int | None
    window_until_ms: int | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed session, and the session it was if its ends have to be told."""

    session: Session
    closed: Session | None


_MATERIAL = ("targets", "users", "duration_s", "window_from_ms", "window_until_ms")
"""What a release was given for."""


def prepare(tx: Tx, plan: Plan, user: User, actor: Actor, now_ms: int) -> Session:
    """Create a session; raises NotFoundError for foreign objects, InvalidError for bad plans."""
    session = _planned(tx, plan, user, now_ms)
    add_session(tx, session)
    detail = {
        "name": plan.name,
        "gateway": session.gateway,
        "targets": spelt(session.targets),
        "reason": plan.reason,
        "reference": plan.reference,
    }
    record(tx, AuditAction.SESSION_PREPARED, session, actor, now_ms, detail)
    return session


def change(
    tx: Tx, session: Session, plan: Plan, revision: int, user: User, actor: Actor, now_ms: int
) -> Changed:
    """Give a session another plan.

    What a release was given for cannot change and stay released: then the session goes back to
    prepared, and closes if it is open. Raises ConflictError for one that is
    over, ChangedError for one that was changed meanwhile, and what `prepare` raises.
    """
    if session.revision != revision:
        raise ChangedError("session")
    try:
        state = next_state(session.state, Event.CHANGE)
    except TransitionError:
        raise ConflictError("session_over", "this session is over; prepare a new one") from None
    wanted = _planned(tx, replace(plan, gateway=session.gateway), user, now_ms)
    settings = {name: getattr(wanted, name) for name in ("name", "reason", "reference", *_MATERIAL)}
    changed = replace(session, **settings, revision=session.revision + 1)
    altered = [name for name in settings if getattr(session, name) != getattr(changed, name)]
    is_reset = any(name in _MATERIAL for name in altered)
    closed = None
    if is_reset and session.state is not SessionState.PREPARED:
        closed = session if session.state in OPEN_STATES else None
        changed = replace(changed, state=state, **NOT_RELEASED, **NOT_STARTED)
        void_tickets(tx, session.id, now_ms)
    save_session(tx, changed)
    save_plan(tx, changed)
    detail = {
        "changed": ", ".join(altered),
        "targets": spelt(changed.targets),
        "was": session.state.value,
        "revision": str(changed.revision),
    }
    record(tx, AuditAction.SESSION_CHANGED, changed, actor, now_ms, detail)
    return Changed(changed, closed)


NOT_RELEASED: Final[dict[str, Any]] = {
    "requested_by": None,
    "requested_ms": None,
    "released_by": None,
    "released_ms": None,
    "release_signature": None,
}


def spelt(targets: Sequence[Target]) -> str:
    """The targets for the record."""
    text = ", ".join(f"{t.name} {t.address} {t.protocol} {t.port or ''}".strip() for t in targets)
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 1]}…"


def _planned(tx: Tx, plan: Plan, user: User, now_ms: int) -> Session:
    gateway = store_endpoints.get_gateway(tx, plan.gateway, user.organisation)
    policy = store_policies.get_policy(tx, gateway.id)
    devices = {device.id: device for device in store_devices.list_devices(tx, gateway.id)}
    targets = tuple(dict.fromkeys(_target(devices, *wanted) for wanted in plan.targets))
    users = tuple(sorted(set(plan.users)))
    for assigned in users:
        if store_users.get_user(tx, assigned, user.organisation).disabled:
            raise InvalidError("user_disabled", f"the user {assigned} is disabled")
    start, end = plan.window_from_ms, plan.window_until_ms
    if end is not None and (end <= now_ms or (start is not None and end <= start)):
        raise InvalidError("window_empty", "the window is over before it begins")
    if plan.duration_s > policy.max_duration_s:
        raise InvalidError(
            "duration_too_long",
            f"this gateway allows {policy.max_duration_s} s at most; see its policy",
        )
    return Session(
        id=SessionId(new_id("ses")),
        organisation=user.organisation,
        gateway=gateway.id,
        gateway_name=gateway.name,
        name=plan.name,
        reason=plan.reason,
        reference=plan.reference,
        duration_s=plan.duration_s,
        window_from_ms=start,
        window_until_ms=end,
        created_by=user.id,
        created_ms=now_ms,
        state=SessionState.PREPARED,
        targets=targets,
        users=users,
    )


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
