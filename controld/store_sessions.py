"""Sessions, what they reach, who may use them, and their one-time tickets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from controld.codes import digest
from controld.errors import InvalidError, NotFoundError
from controld.records import FINAL_STATES, OPEN_STATES, WAITING_STATES, Session, SessionState
from controld.schema.endpoints import devices, gateways
from controld.schema.sessions import session_targets, session_users, sessions, tickets
from controld.store_devices import virtual_address
from rclib.wire.session import EndReason, PathKind, Protocol, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controld.store import Tx
    from rclib.wire.ids import (
        ClientId,
        DeviceId,
        GatewayId,
        OrganisationId,
        SessionId,
        UserId,
    )

_SESSIONS = select(sessions, gateways.c.name.label("gateway_name")).join(
    gateways, gateways.c.id == sessions.c.gateway
)
_MUTABLE = (
    "state",
    "revision",
    "name",
    "reason",
    "reference",
    "duration_s",
    "window_from_ms",
    "window_until_ms",
    "requested_by",
    "requested_ms",
    "released_by",
    "released_ms",
    "release_signature",
    "started_by",
    "started_ms",
    "started_from",
    "redeem_by_ms",
    "not_after_ms",
    "client",
    "technician_key",
    "technician_signature",
    "link_pair",
    "region",
    "asked_plant",
    "answer_by_ms",
    "lease_until_ms",
    "answered",
    "path",
    "ended_ms",
    "end_reason",
)
_FIXED = (
    "id",
    "organisation",
    "gateway",
    "created_by",
    "created_ms",
)
_MAX_DIGITS = 16
_OPEN = sessions.c.state.in_([state.value for state in OPEN_STATES])
_WAITING = sessions.c.state.in_([state.value for state in WAITING_STATES])
_FINAL = sessions.c.state.in_([state.value for state in FINAL_STATES])


def add_session(tx: Tx, session: Session) -> None:
    tx.execute(insert(sessions).values(_columns(session, (*_FIXED, *_MUTABLE))))
    _add_plan(tx, session)


def save_plan(tx: Tx, session: Session) -> None:
    """Replace what the session reaches and who may use it."""
    tx.execute(delete(session_targets).where(session_targets.c.session == session.id))
    tx.execute(delete(session_users).where(session_users.c.session == session.id))
    _add_plan(tx, session)


def _add_plan(tx: Tx, session: Session) -> None:
    for position, target in enumerate(session.targets):
        tx.execute(
            insert(session_targets).values(
                session=session.id,
                position=position,
                device=target.device,
                protocol=target.protocol.value,
                port=target.port,
            )
        )
    for user in session.users:
        tx.execute(insert(session_users).values(session=session.id, user=user))


def save_session(tx: Tx, session: Session) -> None:
    """Write back what steps change; `save_plan` has the targets and users."""
    tx.execute(
        update(sessions).where(sessions.c.id == session.id).values(_columns(session, _MUTABLE))
    )


def get_session(tx: Tx, session: SessionId) -> Session:
    """Read a session; raises NotFoundError."""
    found = _sessions(tx, sessions.c.id == session)
    if not found:
        raise NotFoundError("session")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of an organisation's sessions; None: not limited."""

    users: frozenset[UserId] = frozenset()
    """Only those that each of these started or may start."""
    gateway: GatewayId | None = None
    is_over: bool | None = None


def list_sessions(
    tx: Tx,
    organisation: OrganisationId,
    wanted: Wanted,
    limit: int,
    cursor: str | None = None,
) -> Sequence[Session]:
    """The organisation's sessions, newest first, behind `cursor`.

    Raises InvalidError for a cursor that is none.
    """
    mine = sessions.c.organisation == organisation
    for user in wanted.users:
        assigned = select(session_users.c.session).where(session_users.c.user == user)
        mine = mine & or_(sessions.c.started_by == user, sessions.c.id.in_(assigned))
    if wanted.gateway is not None:
        mine = mine & (sessions.c.gateway == wanted.gateway)
    if wanted.is_over is not None:
        mine = mine & (_FINAL if wanted.is_over else ~_FINAL)
    if cursor is not None:
        created_ms, last = _cursor(cursor)
        at = tuple_(sessions.c.created_ms, sessions.c.id)
        mine = mine & (at < tuple_(literal(created_ms), literal(last)))
    return _sessions(tx, mine, limit=limit)


def cursor_of(session: Session) -> str:
    """The place behind a session in the list."""
    return f"{session.created_ms}.{session.id}"


def _cursor(text: str) -> tuple[int, str]:
    created, _, last = text.partition(".")
    if not (created.isascii() and created.isdigit() and len(created) <= _MAX_DIGITS and last):
        raise InvalidError("bad_request", "this cursor comes from no page of this list")
    return int(created), last


def sessions_under_time(tx: Tx) -> Sequence[Session]:
    """Everything that time alone can change: what is open, and what has a window to miss."""
    released = sessions.c.state == SessionState.RELEASED.value
    has_window = _WAITING & sessions.c.window_until_ms.is_not(None)
    return _sessions(tx, _OPEN | released | has_window)


def list_revocable(tx: Tx, now_ms: int) -> Sequence[tuple[SessionId, int]]:
    """Sessions that are over while an admission of theirs has not run out, and when it does (ms).

    The latest comes first.
    """
    until = sessions.c.lease_until_ms
    query = select(sessions.c.id, until).where(_FINAL, until > now_ms).order_by(until.desc())
    return [(session, until_ms) for session, until_ms in tx.execute(query)]


def open_sessions_of_gateway(tx: Tx, gateway: GatewayId) -> Sequence[Session]:
    return _sessions(tx, _OPEN & (sessions.c.gateway == gateway))


def last_region(tx: Tx, gateway: GatewayId) -> str:
    """Where the relays of the gateway's last session are; empty before its first."""
    query = (
        select(sessions.c.region)
        .where(sessions.c.gateway == gateway, sessions.c.region != "")
        .order_by(sessions.c.started_ms.desc())
        .limit(1)
    )
    return str(tx.execute(query).scalar() or "")


def open_sessions_of_user(tx: Tx, user: UserId) -> Sequence[Session]:
    return _sessions(tx, _OPEN & (sessions.c.started_by == user))


def open_sessions_of_client(tx: Tx, client: ClientId) -> Sequence[Session]:
    return _sessions(tx, _OPEN & (sessions.c.client == client))


def unfinished_sessions_of_device(tx: Tx, device: DeviceId) -> Sequence[Session]:
    uses = exists().where(
        session_targets.c.session == sessions.c.id, session_targets.c.device == device
    )
    return _sessions(tx, ~_FINAL & uses)


def count_open(
    tx: Tx, but: SessionId, *, gateway: GatewayId | None = None, user: UserId | None = None
) -> int:
    """How many sessions other than `but` are open at a gateway, or of a user."""
    query = select(func.count()).select_from(sessions).where(_OPEN, sessions.c.id != but)
    if gateway is not None:
        query = query.where(sessions.c.gateway == gateway)
    if user is not None:
        query = query.where(sessions.c.started_by == user)
    return tx.scalar(query) or 0


def sessions_between(
    tx: Tx, from_ms: int, until_ms: int, organisation: OrganisationId | None
) -> Sequence[Session]:
    """Sessions that were open at some moment of [from, until), by their own times."""
    touched = (
        (sessions.c.started_ms < until_ms)
        & or_(sessions.c.ended_ms.is_(None), sessions.c.ended_ms >= from_ms)
        & sessions.c.started_ms.is_not(None)
    )
    if organisation is not None:
        touched = touched & (sessions.c.organisation == organisation)
    return _sessions(tx, touched)


def taken_link_pairs(tx: Tx) -> frozenset[int]:
    query = select(sessions.c.link_pair).where(_OPEN, sessions.c.link_pair.is_not(None))
    return frozenset(tx.scalars(query))


def add_ticket(tx: Tx, session: Session, user: UserId, ticket: str, now_ms: int) -> None:
    """Store a ticket; earlier ones of the session are void from here on."""
    void_tickets(tx, session.id, now_ms)
    tx.execute(
        insert(tickets).values(
            ticket_digest=digest(ticket),
            session=session.id,
            user=user,
            created_ms=now_ms,
            expires_ms=session.redeem_by_ms,
        )
    )


def spend_ticket(tx: Tx, session: SessionId, user: UserId, ticket: str, now_ms: int) -> bool:
    """Check and use a ticket in one step; False if it does not admit this user to this session."""
    spent = tx.execute(
        update(tickets)
        .where(
            tickets.c.ticket_digest == digest(ticket),
            tickets.c.session == session,
            tickets.c.user == user,
            tickets.c.used_ms.is_(None),
            tickets.c.expires_ms > now_ms,
        )
        .values(used_ms=now_ms)
    )
    return spent.rowcount == 1


def void_tickets(tx: Tx, session: SessionId, now_ms: int) -> None:
    tx.execute(
        update(tickets)
        .where(tickets.c.session == session, tickets.c.used_ms.is_(None))
        .values(used_ms=now_ms)
    )


def _sessions(tx: Tx, where: ColumnElement[bool], limit: int | None = None) -> list[Session]:
    query = _SESSIONS.where(where).order_by(sessions.c.created_ms.desc(), sessions.c.id.desc())
    rows = tx.execute(query.limit(limit)).all()
    ids = [row.id for row in rows]
    targets = _targets(tx, ids)
    users: dict[str, list[UserId]] = {}
    for row in tx.execute(select(session_users).where(session_users.c.session.in_(ids))):
        users.setdefault(row.session, []).append(row.user)
    return [_session(row, targets.get(row.id, ()), users.get(row.id, ())) for row in rows]


def _targets(tx: Tx, ids: Iterable[str]) -> dict[str, list[Target]]:
    query = (
        select(
            session_targets,
            *(devices.c[each] for each in ("name", "address", "virtual", "source_nat")),
        )
        .join(devices, devices.c.id == session_targets.c.device)
        .where(session_targets.c.session.in_(ids))
        .order_by(session_targets.c.session, session_targets.c.position)
    )
    found: dict[str, list[Target]] = {}
    for row in tx.execute(query):
        target = Target(
            device=row.device,
            name=row.name,
            address=row.address,
            protocol=Protocol(row.protocol),
            port=row.port,
            virtual=virtual_address(row.virtual),
            source_nat=row.source_nat,
        )
        found.setdefault(row.session, []).append(target)
    return found


def _session(row: Row[Any], targets: Iterable[Target], users: Iterable[UserId]) -> Session:
    columns: dict[str, Any] = {name: getattr(row, name) for name in (*_FIXED, *_MUTABLE)}
    columns["state"] = SessionState(row.state)
    columns["path"] = PathKind(row.path) if row.path is not None else None
    columns["end_reason"] = EndReason(row.end_reason) if row.end_reason is not None else None
    return Session(
        **columns, gateway_name=row.gateway_name, targets=tuple(targets), users=tuple(sorted(users))
    )


def _columns(session: Session, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(session, name) for name in names}
