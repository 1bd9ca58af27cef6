"""The technician's end of one session: a pure core. Events and boot-clock time in, commands out.

REDEEMING ──► WAITING_FOR_PLANT ──► OPENING ──► CONNECTING ──► CONNECTED ──► ENDED
key from       grant from the       interface     first WireGuard
the gate       control plane        and routes    handshake
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.wire.client import ClientState, Reachable
from rclib.wire.control import (
    Body,
    SessionEnd,
    SessionGrant,
    SessionProgress,
    SessionRefusal,
    remaining_s,
)
from rclib.wire.identity import answer_key_statement, is_signed_by
from rclib.wire.session import EndReason, PathKind, RefusalReason

if TYPE_CHECKING:
    from rclib.wire.control import LeaseRenewal, RelayLeg, ReleasePending, SessionRelays
    from rclib.wire.gate import TunnelCounters
    from rclib.wire.ids import GatewayId, IdentityKey, SessionId, TunnelKey
    from rclib.wire.session import PathStatus

REDEEM_LIMIT_S: Final = 90.0
"""From the link to the plant's answer, a release by hand not included."""
CONNECT_LIMIT_S: Final = 60.0
SILENCE_S: Final = 180.0
"""Without a byte from the gateway: WireGuard would have renewed its keys by then, every 120 s."""


@dataclass(frozen=True, slots=True)
class SignAndRedeem:
    """Vouch for the fresh key with our identity and redeem the ticket with it."""

    session: SessionId
    ticket: str
    tunnel_key: TunnelKey


@dataclass(frozen=True, slots=True)
class PinGateway:
    """Remember the gateway's identity, durably."""

    gateway: GatewayId
    key: IdentityKey


@dataclass(frozen=True, slots=True)
class DialRelays:
    """Nothing travels yet, but it will: be at the relays by then."""

    relays: tuple[RelayLeg, ...]


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    """Dial the relays, unless that is done, and open interface and routes."""

    grant: SessionGrant


@dataclass(frozen=True, slots=True)
class RenewRelays:
    """Use fresh admissions from now on."""

    relays: tuple[RelayLeg, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the control plane."""

    body: Body


@dataclass(frozen=True, slots=True)
class Finish:
    """Remove everything and end the process."""


Command = SignAndRedeem | PinGateway | DialRelays | OpenTunnel | RenewRelays | Tell | Finish


class TechnicianSession:
    """One session, from the link to the end."""

    def __init__(self, session: SessionId, ticket: str, now: float) -> None:
        # Fixed after construction.
        self.session = session
        self._ticket = ticket
        # Change during its life.
        self.state = ClientState.REDEEMING
        self.path = PathKind.CONNECTING
        self.grant: SessionGrant | None = None
        self.connected_at: float | None = None
        self.asked: IdentityKey | None = None
        """The identity of the gateway whose people are asked for a release."""
        self.reach: tuple[str, ...] = ()
        """Under which address each target is reached from here; see `gate.TunnelCounters`."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self.end_reason: EndReason | None = None
        self.refusal: RefusalReason | None = None
        self.detail = ""
        self._tunnel_key: TunnelKey | None = None
        self._state_until = now + REDEEM_LIMIT_S
        self._lease_until = self._not_after = float("inf")
        self._heard_at = now

    def prepared(self, tunnel_key: TunnelKey) -> list[Command]:
        """The gate has made the key."""
        self._tunnel_key = tunnel_key
        self.state = ClientState.WAITING_FOR_PLANT
        return [SignAndRedeem(self.session, self._ticket, tunnel_key)]

    def release_pending(self, body: ReleasePending, now: float) -> list[Command]:
        """A person at the plant is asked: wait as long as the plant does."""
        if body.session == self.session and self.state is ClientState.WAITING_FOR_PLANT:
            self._state_until = now + body.wait_s + REDEEM_LIMIT_S
            self.detail = "the plant has to release this session on its page"
            self.asked = body.identity_key
        return []

    def relays_named(self, body: SessionRelays) -> list[Command]:
        """The gateway is asked."""
        if body.session == self.session and self.state is ClientState.WAITING_FOR_PLANT:
            return [DialRelays(body.relays)]
        return []

    def granted(
        self,
        grant: SessionGrant,
        sent_ms: int,
        now: float,
        *,
        pinned: IdentityKey | None,
        own_identity: IdentityKey,
    ) -> list[Command]:
        """The gateway has answered; its key counts only with its identity's signature."""
        if grant.session != self.session or self._tunnel_key is None:
            return []
        if self.state is not ClientState.WAITING_FOR_PLANT:
            return []
        peer = grant.peer
        if pinned is not None and pinned != peer.identity_key:
            return self._refuse(
                RefusalReason.IDENTITY_CHANGED,
                f"{grant.gateway_name} has another identity than before; compare the fingerprint "
                "on its page with the one you know before you trust it",
            )
        if self.asked not in (None, peer.identity_key):
            return self._refuse(
                RefusalReason.IDENTITY_CHANGED,
                "the answer is of another gateway than the six words were",
            )
        signed = answer_key_statement(self.session, peer.tunnel_key, own_identity, self._tunnel_key)
        if not is_signed_by(peer.identity_key, signed, peer.signature):
            return self._refuse(
                RefusalReason.BAD_SIGNATURE, "the gateway's key is not signed by its identity"
            )
        lease_s = remaining_s(grant.lease_until_ms, sent_ms)
        not_after_s = remaining_s(grant.not_after_ms, sent_ms)
        if min(lease_s, not_after_s) <= 0:
            return self._refuse(RefusalReason.EXPIRED, "the grant is over already")
        self.grant, self.detail = grant, ""
        self.state = ClientState.OPENING
        self._lease_until, self._not_after = now + lease_s, now + not_after_s
        self._state_until = now + CONNECT_LIMIT_S
        pin: list[Command] = [] if pinned else [PinGateway(grant.gateway, peer.identity_key)]
        return [*pin, OpenTunnel(grant)]

    def opened(self) -> list[Command]:
        if self.state is ClientState.OPENING:
            self.state = ClientState.CONNECTING
        return []

    def measured(self, tunnels: tuple[TunnelCounters, ...], now: float) -> list[Command]:
        """WireGuard's counters, read regularly."""
        for tunnel in tunnels:
            if tunnel.session != self.session:
                continue
            if tunnel.received_bytes != self.received_bytes:
                self._heard_at = now
            self.reach = tunnel.reach
            self.received_bytes, self.sent_bytes = tunnel.received_bytes, tunnel.sent_bytes
            if self.state is ClientState.CONNECTING and tunnel.handshake_age_s is not None:
                return self._connected(PathKind.RELAY, now)
        return []

    def reachable(self) -> tuple[Reachable, ...]:
        """What is released, and what to call it on this computer."""
        targets = self.grant.targets if self.grant else ()
        uses = self.reach or ("",) * len(targets)
        return tuple(
            Reachable(target.name, use, target.address, target.protocol, target.port)
            for target, use in zip(targets, uses, strict=False)
        )

    def path_changed(self, path: PathStatus, now: float) -> list[Command]:
        """The packets take a way, by relay or directly; the first one means a handshake."""
        if self.state is ClientState.CONNECTING:
            return self._connected(path.kind, now)
        if self.state is not ClientState.CONNECTED or path.kind is self.path:
            return []
        self.path = path.kind
        return [Tell(SessionProgress(self.session, path.kind))]

    def lease_renewed(self, renewal: LeaseRenewal, sent_ms: int, now: float) -> list[Command]:
        if renewal.session != self.session:
            return []
        lease_s = remaining_s(renewal.lease_until_ms, sent_ms)
        self._lease_until = min(now + lease_s, self._not_after)
        return [RenewRelays(renewal.relays)] if renewal.relays else []

    def refused(self, refusal: SessionRefusal) -> list[Command]:
        """Said by the control plane or, through it, by the gateway."""
        if refusal.session != self.session or self.state is ClientState.ENDED:
            return []
        self.refusal, self.detail = refusal.reason, refusal.detail
        return self._finish(EndReason.REFUSED)

    def ended_remotely(self, end: SessionEnd) -> list[Command]:
        return self._finish(end.reason) if end.session == self.session else []

    def disconnect(self) -> list[Command]:
        """The technician is done."""
        return self._end(EndReason.TECHNICIAN)

    def failed(self, detail: str) -> list[Command]:
        """Something on this computer does not work."""
        self.detail = self.detail or detail
        return self._end(EndReason.GATE_FAILED)

    def deadline(self) -> float:
        """When `due` has something to do."""
        bounds = [self._lease_until, self._not_after]
        if self.state is ClientState.CONNECTED:
            bounds.append(self._heard_at + SILENCE_S)
        else:
            bounds.append(self._state_until)
        return min(bounds)

    def due(self, now: float) -> list[Command]:
        """End what the clock ends."""
        if self.state is ClientState.ENDED or now < self.deadline():
            return []
        if now >= self._not_after:
            return self._end(EndReason.TIME_OVER)
        if now >= self._lease_until:
            return self._end(EndReason.LEASE_ENDED)
        if self.state is ClientState.CONNECTED:
            self.detail = f"nothing heard from the gateway for {SILENCE_S:.0f} s"
        elif self.state is ClientState.CONNECTING:
            self.detail = "the tunnel is open, but no handshake came through any relay"
        else:
            self.detail = "the control plane or the gateway did not answer in time"
        return self._end(EndReason.GATEWAY_GONE)

    def _connected(self, path: PathKind, now: float) -> list[Command]:
        self.state, self.path = ClientState.CONNECTED, path
        self.connected_at = self._heard_at = now
        return [Tell(SessionProgress(self.session, path))]

    def _refuse(self, reason: RefusalReason, detail: str) -> list[Command]:
        self.refusal, self.detail = reason, detail
        return self._end(EndReason.REFUSED)

    def _end(self, reason: EndReason) -> list[Command]:
        if self.state is ClientState.ENDED:
            return []
        return [Tell(SessionEnd(self.session, reason)), *self._finish(reason)]

    def _finish(self, reason: EndReason) -> list[Command]:
        if self.state is ClientState.ENDED:
            return []
        self.state, self.end_reason = ClientState.ENDED, reason
        return [Finish()]
