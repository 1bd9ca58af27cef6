"""The relay's rules: a pure core. What legs say and boot-clock time in, commands out.

    HELLO ──► CHALLENGE ──► PROOF ──► admitted ──► paired ⇄ alone ──► closed
      token      nonce        signature

A channel is a session; it has two sides and at most one leg on each. There is no destination: a
leg can only ever reach the other side of its own channel. In the order of a leg's life.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rclib.wire import relay
from rclib.wire.admission import Admission, TokenRefusedError, token_digest, verify
from rclib.wire.errors import DecodeError
from rclib.wire.identity import Side, is_signed_by, relay_statement
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import OKPKey

    from rclib.wire.admission import KeyId
    from rclib.wire.ids import Nonce, RelayId, SessionId

LegId = int

PING_S: Final = 25.0
DEAD_S: Final = 45.0
MAX_EARLY: Final = 4
"""Handshakes kept for a partner that is not there yet; a lost one costs five seconds."""


@dataclass(frozen=True, slots=True)
class Send:
    """A message of the relay itself, or one that waited for this leg."""

    leg: LegId
    message: bytes


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Say why, then close; the leg is forgotten already."""

    leg: LegId
    reason: CloseReason
    detail: str = ""


Command = Send | CloseLeg


@dataclass(slots=True)
class _Leg:
    hello_until: float
    heard_at: float
    ping_at: float
    token: str = ""
    nonce: Nonce | None = None
    claimed: Admission | None = None
    admitted: bool = False
    lease_until: float = 0.0
    pinged: bool = False
    partner: LegId | None = None


@dataclass(slots=True)
class _Channel:
    legs: dict[Side, LegId] = field(default_factory=dict)
    early: dict[Side, deque[bytes]] = field(default_factory=dict)
    """What each side sent before the other was there: the newest handshakes."""


class Channels:
    """All legs and channels of one relay."""

    def __init__(
        self,
        relay_id: RelayId,
        keys: Mapping[KeyId, OKPKey],
        *,
        hello_timeout_s: float,
        new_nonce: Callable[[], Nonce],
    ) -> None:
        self._relay_id = relay_id
        self._keys = keys
        self._hello_timeout_s = hello_timeout_s
        self._new_nonce = new_nonce
        self._legs: dict[LegId, _Leg] = {}
        self._channels: dict[SessionId, _Channel] = {}

    @property
    def counts(self) -> tuple[int, int]:
        """Legs, channels."""
        return len(self._legs), len(self._channels)

    def is_admitted(self, leg: LegId) -> bool:
        current = self._legs.get(leg)
        return current is not None and current.admitted

    def connected(self, leg: LegId, now: float) -> None:
        self._legs[leg] = _Leg(now + self._hello_timeout_s, now, now + PING_S)

    def partner_for_data(self, leg: LegId, message: memoryview, now: float) -> LegId | None:
        """Where a DATA or SIGNAL message of this leg goes; None: nowhere now.

        The hot path: one lookup a message, no packet is looked at. Messages that are not
        well-formed go through `received`, which closes the leg.
        """
        current = self._legs.get(leg)
        if current is None or not current.admitted:
            return None
        current.heard_at = now
        if current.partner is None:
            self._keep_early(current, message)
        return current.partner

    def received(
        self, leg: LegId, message: bytes | memoryview, now: float, wall_s: float
    ) -> list[Command]:
        """Any message but DATA and SIGNAL of an admitted leg."""
        current = self._legs.get(leg)
        if current is None:
            return []
        current.heard_at, current.pinged = now, False
        try:
            frame = relay.decode(message)
        except DecodeError as exc:
            return self._close(leg, CloseReason.BAD_FRAME, str(exc))
        match frame:
            case relay.Hello() if current.nonce is None:
                return self._hello(leg, current, frame, wall_s)
            case relay.Proof() if current.claimed is not None and not current.admitted:
                return self._proof(leg, current, frame, now, wall_s)
            case relay.Renew() if current.admitted:
                return self._renew(leg, current, frame, now, wall_s)
            case relay.Ping(echo) if current.admitted:
                return [Send(leg, relay.encode(relay.Pong(echo)))]
            case relay.Pong() if current.admitted:
                return []
            case relay.Close():
                return self._close(leg, CloseReason.DONE, "")
            case _:
                name = type(frame).__name__.upper()
                return self._close(leg, CloseReason.BAD_FRAME, f"{name} at the wrong time")

    def closed(self, leg: LegId) -> list[Command]:
        """The connection is gone."""
        return self._forget(leg)

    def deadline(self) -> float | None:
        """When `due` has something to do."""
        return min((self._due_at(leg) for leg in self._legs.values()), default=None)

    def due(self, now: float) -> list[Command]:
        """What the clock demands: admission in time, leases, signs of life."""
        commands: list[Command] = []
        for leg, current in tuple(self._legs.items()):
            if not current.admitted:
                if now >= current.hello_until:
                    commands += self._close(leg, CloseReason.HELLO_TIMEOUT, "not admitted in time")
            elif now >= current.lease_until:
                commands += self._close(leg, CloseReason.LEASE_ENDED, "the token ran out")
            elif now >= current.heard_at + DEAD_S:
                commands += self._close(leg, CloseReason.SILENT, "no answer to PING")
            elif now >= current.ping_at:
                current.ping_at = now + PING_S
                echo = int(now * 1000).to_bytes(relay.PING_BYTES, "big")
                commands.append(Send(leg, relay.encode(relay.Ping(echo))))
        return commands

    def close(self, leg: LegId, reason: CloseReason, detail: str) -> list[Command]:
        """The adapter's own reasons: a slow reader, a limit, the end of the process."""
        return self._close(leg, reason, detail) if leg in self._legs else []

    @property
    def all_legs(self) -> tuple[LegId, ...]:
        return tuple(self._legs)

    # Admission.

    def _hello(self, leg: LegId, current: _Leg, hello: relay.Hello, wall_s: float) -> list[Command]:
        if hello.version != relay.PROTOCOL_VERSION:
            return self._close(
                leg,
                CloseReason.VERSION,
                f"this relay speaks version {relay.PROTOCOL_VERSION}, not {hello.version}",
            )
        try:
            current.claimed = verify(hello.token, self._keys, self._relay_id, wall_s)
        except TokenRefusedError as exc:
            return self._close(leg, exc.reason, exc.detail)
        current.token, current.nonce = hello.token, self._new_nonce()
        return [Send(leg, relay.encode(relay.Challenge(current.nonce)))]

    def _proof(
        self, leg: LegId, current: _Leg, proof: relay.Proof, now: float, wall_s: float
    ) -> list[Command]:
        claimed, nonce = current.claimed, current.nonce
        if claimed is None or nonce is None:
            raise AssertionError("a proof is asked for only after a challenge; see received()")
        signed = relay_statement(self._relay_id, nonce, token_digest(current.token))
        if not is_signed_by(claimed.key, signed, proof.signature):
            return self._close(
                leg, CloseReason.PROOF_INVALID, "not signed with the key the token names"
            )
        channel = self._channels.setdefault(claimed.sub, _Channel())
        commands: list[Command] = []
        holder = channel.legs.get(claimed.side)
        if holder is not None:
            held = self._legs[holder].claimed
            if held is None or held.key != claimed.key:
                return self._close(
                    leg, CloseReason.SIDE_TAKEN, "another key holds this side of the channel"
                )
            commands += self._close(
                holder, CloseReason.REPLACED, "a newer leg of the same key took over"
            )
            channel = self._channels.setdefault(claimed.sub, _Channel())
        current.admitted = True
        # From here on only the boot clock counts: setting the wall clock moves no lease.
        current.lease_until = now + (claimed.exp - wall_s)
        channel.legs[claimed.side] = leg
        return [*commands, *self._pair(leg, current, channel, claimed.side)]

    def _pair(self, leg: LegId, current: _Leg, channel: _Channel, side: Side) -> list[Command]:
        partner = channel.legs.get(side.other)
        if partner is None:
            return [Send(leg, relay.encode(relay.Ready(partner_present=False)))]
        current.partner, self._legs[partner].partner = partner, leg
        ready = relay.encode(relay.Ready(partner_present=True))
        waiting = channel.early.pop(side.other, ())
        channel.early.clear()
        return [
            Send(leg, ready),
            Send(partner, ready),
            *(Send(leg, message) for message in waiting),
        ]

    def _renew(
        self, leg: LegId, current: _Leg, renew: relay.Renew, now: float, wall_s: float
    ) -> list[Command]:
        try:
            fresh = verify(renew.token, self._keys, self._relay_id, wall_s)
        except TokenRefusedError as exc:
            return self._close(leg, exc.reason, exc.detail)
        claimed = current.claimed
        if claimed is None or (fresh.sub, fresh.side, fresh.key) != (
            claimed.sub,
            claimed.side,
            claimed.key,
        ):
            return self._close(leg, CloseReason.TOKEN_INVALID, "the fresh token is for another leg")
        current.lease_until = now + (fresh.exp - wall_s)
        return []

    # Internals.

    def _keep_early(self, current: _Leg, message: memoryview) -> None:
        claimed = current.claimed
        if claimed is None or not is_first_class(message):
            return
        early = self._channels[claimed.sub].early
        early.setdefault(claimed.side, deque(maxlen=MAX_EARLY)).append(bytes(message))

    def _close(self, leg: LegId, reason: CloseReason, detail: str) -> list[Command]:
        return [CloseLeg(leg, reason, detail), *self._forget(leg)]

    def _forget(self, leg: LegId) -> list[Command]:
        current = self._legs.pop(leg, None)
        if current is None or not current.admitted or current.claimed is None:
            return []
        session, side = current.claimed.sub, current.claimed.side
        channel = self._channels[session]
        del channel.legs[side]
        channel.early.pop(side, None)
        if not channel.legs:
            del self._channels[session]
        if current.partner is None:
            return []
        self._legs[current.partner].partner = None
        return [Send(current.partner, relay.encode(relay.Gone()))]

    @staticmethod
    def _due_at(leg: _Leg) -> float:
        if not leg.admitted:
            return leg.hello_until
        return min(leg.lease_until, leg.ping_at, leg.heard_at + DEAD_S)


def is_first_class(message: memoryview) -> bool:
    """Whether a DATA message is a handshake, or the message a SIGNAL: the lane that never waits."""
    if message[0] == relay.FrameType.SIGNAL:
        return True
    return relay.is_handshake(message[relay.DATA_HEADER_BYTES :])
