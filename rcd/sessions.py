"""The gateway's sessions: a pure core. Events and boot-clock time in, commands out.

    offer ──► PREPARING ──► OPENING ──► WAITING ──► RUNNING ──► (gone)
                 key from      rules and    first WireGuard
                 the gate      interface    handshake

Every state leads to the end when the plant, the control plane, a clock or the gate says so, and
nothing but a new offer leads out of it again. In the order of a session's life.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rcd.commands import (
    CloseTunnel,
    Command,
    OpenTunnel,
    PinIdentity,
    PrepareTunnel,
    ProbeTunnel,
    Record,
    RenewRelays,
    SendAnswer,
    Tell,
)
from rcd.record_details import path_detail, spelt
from rcd.refusals import flaw_of, reason_of, refuse
from rclib.wire.audit import AuditAction
from rclib.wire.control import SessionEnded, SessionOffer, SessionProgress, remaining_s
from rclib.wire.ids import EndpointId
from rclib.wire.session import EndReason, PathKind, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rclib.wire.control import LeaseRenewal
    from rclib.wire.gate import GateError, TunnelCounters
    from rclib.wire.ids import IdentityKey, SessionId, TunnelKey
    from rclib.wire.session import PathStatus

OPEN_LIMIT_S: Final = 60.0
"""From the offer to the first WireGuard handshake."""
QUIET_BYTES: Final = 512
QUIET_BYTES_PER_S: Final = 4.0
"""What keepalives and handshakes of an unused tunnel come to; more is somebody's traffic."""
KEEPALIVE_S: Final = 25
"""The technician's WireGuard is heard at least this often."""
PROBE_AFTER_S: Final = KEEPALIVE_S + 5.0
PROBE_EVERY_S: Final = 5.0
"""A technician's clock that was set back keeps its handshakes from counting: WireGuard takes none
that is dated before the last one. Ours count there."""


class State(StrEnum):
    """Where a session is; see the drawing above."""

    PREPARING = "preparing"
    OPENING = "opening"
    WAITING = "waiting"
    RUNNING = "running"


@dataclass(slots=True)
class Session:
    """One session the gateway takes part in. All times on the boot clock."""

    # Fixed after construction.
    offer: SessionOffer
    not_after: float
    since_ms: int
    # Change during its life.
    state: State
    lease_until: float
    open_until: float
    heard_at: float
    used_at: float
    probed_at: float = 0.0
    used_bytes: int = 0
    """What had passed at `used_at`, in both directions."""
    released_by: str = ""
    tunnel_key: TunnelKey | None = None
    path: PathKind = PathKind.CONNECTING
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the gate has rules for it, which want renewal."""
        return self.state in (State.WAITING, State.RUNNING)

    def note_use(self, now: float) -> None:
        """Tell traffic from what WireGuard says by itself."""
        passed = self.received_bytes + self.sent_bytes
        quiet = QUIET_BYTES + QUIET_BYTES_PER_S * (now - self.used_at)
        if passed - self.used_bytes > quiet or self.state is not State.RUNNING:
            self.used_at, self.used_bytes = now, passed

    def take_path(self, kind: PathKind, path: PathStatus | None) -> list[Command]:
        """Packets travel that way, and that is worth a line."""
        self.state, self.path = State.RUNNING, kind
        session = self.offer.session
        return [
            Tell(SessionProgress(session, kind)),
            Record(AuditAction.PATH_CHANGED, session, "", path_detail(kind, path)),
        ]

    def wants_probe(self, now: float) -> bool:
        """Whether the technician has been silent for longer than keepalives would be."""
        is_silent = self.state is State.RUNNING and now - self.heard_at >= PROBE_AFTER_S
        return is_silent and now - self.probed_at >= PROBE_EVERY_S

    @property
    def idle_at(self) -> float:
        """When it ends for want of traffic."""
        idle_s = self.offer.idle_timeout_s
        return self.used_at + idle_s if idle_s else float("inf")

    @property
    def ends_at(self) -> float:
        """When it ends if nothing else happens."""
        bounds = [self.not_after, self.lease_until]
        if self.state is not State.RUNNING:
            bounds.append(self.open_until)
        return min(bounds)


class Sessions:
    """All sessions of one gateway."""

    def __init__(self, *, max_sessions: int, technician_grace_s: float) -> None:
        self._max_sessions = max_sessions
        self._silence_s = technician_grace_s + KEEPALIVE_S
        self._sessions: dict[SessionId, Session] = {}

    @property
    def open(self) -> tuple[Session, ...]:
        return tuple(self._sessions.values())

    def get(self, session: SessionId) -> Session | None:
        return self._sessions.get(session)

    def offered(
        self,
        offer: SessionOffer,
        sent_ms: int,
        now: float,
        *,
        pinned: IdentityKey | None,
        released_by: str = "",
    ) -> list[Command]:
        """A technician wants in; the plant's switch is ON, or this is not called."""
        if offer.session in self._sessions:
            return []
        refusal = self.refusal(offer, sent_ms, pinned)
        if refusal is not None:
            return refuse(offer, *refusal)
        lease_s = remaining_s(offer.lease_until_ms, sent_ms)
        not_after_s = remaining_s(offer.not_after_ms, sent_ms)
        self._sessions[offer.session] = Session(
            offer=offer,
            not_after=now + not_after_s,
            since_ms=sent_ms,
            state=State.PREPARING,
            lease_until=now + lease_s,
            open_until=now + OPEN_LIMIT_S,
            heard_at=now,
            used_at=now,
            released_by=released_by,
        )
        commands: list[Command] = []
        if pinned is None:
            endpoint = EndpointId(offer.technician.client)
            commands.append(PinIdentity(endpoint, offer.peer.identity_key))
        return [*commands, PrepareTunnel(offer.session)]

    def prepared(self, session: SessionId, tunnel_key: TunnelKey) -> list[Command]:
        """The gate has made the key; now rules and interface."""
        current = self._sessions.get(session)
        if current is None or current.state is not State.PREPARING:
            return [CloseTunnel(session)]
        current.state, current.tunnel_key = State.OPENING, tunnel_key
        return [OpenTunnel(current.offer)]

    def opened(self, session: SessionId, interface: str, backend: str) -> list[Command]:
        """Everything is up: only now does the technician learn our key."""
        current = self._sessions.get(session)
        if current is None or current.state is not State.OPENING or current.tunnel_key is None:
            return [CloseTunnel(session)]
        current.state = State.WAITING
        return [
            SendAnswer(current.offer, current.tunnel_key),
            Record(
                AuditAction.TUNNEL_OPENED,
                session,
                current.offer.technician.user,
                {
                    "interface": interface,
                    "backend": backend,
                    "targets": spelt(current.offer.targets),
                },
            ),
        ]

    def refused_by_gate(
        self, session: SessionId, error: GateError | None, detail: str
    ) -> list[Command]:
        """The gate did not do what it was asked for this session."""
        current = self._sessions.pop(session, None)
        if current is None:
            return []
        return [CloseTunnel(session), *refuse(current.offer, reason_of(error), detail)]

    def lease_renewed(self, renewal: LeaseRenewal, sent_ms: int, now: float) -> list[Command]:
        current = self._sessions.get(renewal.session)
        if current is None:
            return []
        lease_s = remaining_s(renewal.lease_until_ms, sent_ms)
        # A renewal never outlives the end that the offer carried.
        current.lease_until = min(now + lease_s, current.not_after)
        return [RenewRelays(renewal.session, renewal.relays)] if renewal.relays else []

    def measured(
        self,
        tunnels: Iterable[TunnelCounters],
        now: float,
        path_of: Callable[[SessionId], PathStatus | None] = lambda _: None,
    ) -> list[Command]:
        """WireGuard's counters, read regularly; `path_of` knows more of a path, for the record."""
        commands: list[Command] = []
        for tunnel in tunnels:
            current = self._sessions.get(tunnel.session)
            if current is None:
                continue
            if tunnel.received_bytes != current.received_bytes:
                current.heard_at = now
            current.received_bytes = tunnel.received_bytes
            current.sent_bytes = tunnel.sent_bytes
            current.note_use(now)
            if current.wants_probe(now):
                current.probed_at = now
                commands.append(ProbeTunnel(tunnel.session))
            if current.state is State.WAITING and tunnel.handshake_age_s is not None:
                commands += current.take_path(PathKind.RELAY, path_of(tunnel.session))
        return commands

    def path_changed(self, session: SessionId, path: PathStatus, now: float) -> list[Command]:
        """The packets take a way, by relay or directly; the first one means a handshake."""
        current = self._sessions.get(session)
        if current is None or not current.is_open or current.path is path.kind:
            return []
        if current.state is State.WAITING:
            current.heard_at = now
        return current.take_path(path.kind, path)

    def end(
        self, session: SessionId, reason: EndReason, *, actor: str = "", detail: str = ""
    ) -> list[Command]:
        """Close one session; ending what is not open is no error."""
        current = self._sessions.pop(session, None)
        if current is None:
            return []
        record = {
            "reason": reason.value,
            "received_bytes": str(current.received_bytes),
            "sent_bytes": str(current.sent_bytes),
        }
        if detail:
            record["detail"] = detail
        return [
            CloseTunnel(session),
            Tell(SessionEnded(session, reason)),
            Record(AuditAction.TUNNEL_CLOSED, session, actor, record),
        ]

    def end_all(self, reason: EndReason, *, actor: str = "", detail: str = "") -> list[Command]:
        return [
            command
            for session in tuple(self._sessions)
            for command in self.end(session, reason, actor=actor, detail=detail)
        ]

    def deadline(self) -> float | None:
        """When `due` has something to do, if nothing else happens."""
        times = [
            min(s.ends_at, s.heard_at + self._silence_s, s.idle_at)
            if s.state is State.RUNNING
            else s.ends_at
            for s in self._sessions.values()
        ]
        return min(times, default=None)

    def due(self, now: float) -> list[Command]:
        """End what its clock ends."""
        commands: list[Command] = []
        for session, current in tuple(self._sessions.items()):
            if now >= current.not_after:
                commands += self.end(session, EndReason.TIME_OVER)
            elif now >= current.lease_until:
                commands += self.end(session, EndReason.LEASE_ENDED)
            elif current.state is not State.RUNNING and now >= current.open_until:
                commands += self.end(
                    session, EndReason.TECHNICIAN_GONE, detail="no handshake arrived"
                )
            elif current.state is State.RUNNING and now >= current.idle_at:
                commands += self.end(session, EndReason.IDLE)
            elif current.state is State.RUNNING and now >= current.heard_at + self._silence_s:
                commands += self.end(session, EndReason.TECHNICIAN_GONE, detail="not heard")
        return commands

    def refusal(
        self, offer: SessionOffer, sent_ms: int, pinned: IdentityKey | None
    ) -> tuple[RefusalReason, str] | None:
        """Why this offer is not taken, or None."""
        flaw = flaw_of(offer, sent_ms, pinned)
        if flaw is None and len(self._sessions) >= self._max_sessions:
            return RefusalReason.BUSY, f"{self._max_sessions} sessions are open already"
        return flaw
