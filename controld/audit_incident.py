"""What an incident report has to name: who and what was touched between two moments. Pure.

For the early warning and the notification of NIS2 (Directive (EU) 2022/2555, article 23).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from controld.audit_export import utc
from controld.audit_text import one_line
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controld.audit_chain import Record
    from controld.records import Session

ALARMS: Final = (
    AuditAction.LOGIN_FAILED,
    AuditAction.PERMISSION_DENIED,
    AuditAction.LINK_REFUSED,
    AuditAction.ENROLMENT_REFUSED,
    AuditAction.TICKET_REFUSED,
    AuditAction.SESSION_START_REFUSED,
    AuditAction.AUDIT_HEAD_CONFLICT,
    AuditAction.AUDIT_HEAD_REFUSED,
    AuditAction.OFFER_REFUSED,
    AuditAction.PACKETS_REFUSED,
    AuditAction.RULESET_MISMATCH,
    AuditAction.AMS_LOGIN_FAILED,
)


class TouchedSession(msgspec.Struct, frozen=True):
    id: str
    name: str
    gateway: str
    gateway_name: str
    started_by: str
    users: tuple[str, ...]
    targets: tuple[str, ...]
    started: str
    ended: str
    end_reason: str


class Incident(msgspec.Struct, frozen=True):
    """The answer to `controld audit incident`. Times are RFC 3339, UTC."""

    begin: str
    end: str
    rows: int
    first_row: int
    last_row: int
    sessions: tuple[TouchedSession, ...]
    users: dict[str, str]
    """Name by id."""
    gateways: dict[str, str]
    sources: tuple[str, ...]
    actions: dict[str, int]
    alarms: dict[str, int]
    missing_events: int
    """Events of gateways or clients that never arrived."""


def summarise(
    begin_ms: int, end_ms: int, records: Iterable[Record], sessions: Sequence[Session]
) -> Incident:
    """Put together what the record and the sessions say about the time from begin to end."""
    actions: Counter[str] = Counter()
    users: dict[str, str] = {}
    gateways: dict[str, str] = {s.gateway: s.gateway_name for s in sessions}
    sources: set[str] = set()
    seen: list[int] = []
    missing = 0
    for record in records:
        seen.append(record.seq)
        actions[record.action] += 1
        missing += record.endpoint_gap
        sources.update({record.source} - {""})
        for who, name in ((record.actor, record.actor_name), (record.subject, "")):
            if who.startswith("usr_"):
                users[who] = name or users.get(who, "")
            elif who.startswith("gwy_"):
                gateways[who] = gateways.get(who) or (name if not record.endpoint else "")
    for session in sessions:
        for user in (*session.users, session.started_by):
            if user is not None:
                users.setdefault(user, "")
    return Incident(
        begin=utc(begin_ms),
        end=utc(end_ms),
        rows=len(seen),
        first_row=min(seen, default=0),
        last_row=max(seen, default=0),
        sessions=tuple(_touched(session) for session in sessions),
        users=dict(sorted(users.items())),
        gateways=dict(sorted(gateways.items())),
        sources=tuple(sorted(sources)),
        actions=dict(sorted(actions.items())),
        alarms={a.value: actions[a] for a in ALARMS if actions[a]},
        missing_events=missing,
    )


def as_text(incident: Incident) -> str:
    """For people: one thing a line."""
    lines = [
        f"From {incident.begin} to {incident.end}",
        f"Rows of the record: {incident.rows}, {incident.first_row} to {incident.last_row}",
        "",
        f"Sessions: {len(incident.sessions)}",
    ]
    for session in incident.sessions:
        lines += [
            f"  {session.id} {session.name!r} on {session.gateway_name} ({session.gateway})",
            f"    started {session.started} by {session.started_by or 'nobody'}",
            f"    ended {session.ended or 'not yet'} {session.end_reason}",
            *(f"    reaches {target}" for target in session.targets),
        ]
    for title, found in (("Users", incident.users), ("Gateways", incident.gateways)):
        lines += ["", f"{title}: {len(found)}", *(f"  {i} {name}" for i, name in found.items())]
    lines += ["", "Addresses: " + (", ".join(incident.sources) or "none")]
    lines += ["", "Alarms: " + (_counts(incident.alarms) or "none")]
    lines += ["Actions: " + (_counts(incident.actions) or "none")]
    if incident.missing_events:
        lines += [f"{incident.missing_events} events of gateways or clients never arrived"]
    return "".join(f"{one_line(line)}\n" for line in lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _touched(session: Session) -> TouchedSession:
    return TouchedSession(
        id=session.id,
        name=session.name,
        gateway=session.gateway,
        gateway_name=session.gateway_name,
        started_by=session.started_by or "",
        users=tuple(session.users),
        targets=tuple(
            f"{t.name} {t.address} {t.protocol.value} {t.port or 'all ports'}"
            for t in session.targets
        ),
        started=utc(session.started_ms),
        ended=utc(session.ended_ms),
        end_reason=session.end_reason.value if session.end_reason else "",
    )
