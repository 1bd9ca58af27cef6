"""The relay's rules, pure: what legs say and boot-clock time in, commands out.

A channel is a session. It has two sides and at most one leg on each. There is no destination: a
leg can only ever reach the other side of its own channel. DATA between two legs that are joined
does not come by here; who is joined, until when, and what happens before, does. In the order of
a leg's life.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rclib.tunnel.early_messages import EarlyMessages
from rclib.wire import relay
from rclib.wire.errors import DecodeError
from rclib.wire.identity import Side
from rclib.wire.relay import CloseReason
from relayd.admission import Claim, Doorkeeper, RefusedError
from relayd.commands import (
    Abort,
    Admit,
    CloseLeg,
    Command,
    DropMessage,
    Join,
    LegId,
    Part,
    Send,
    Trust,
)
from relayd.timer_wheel import TimerWheel

if TYPE_CHECKING:
    from rclib.wire.admission import Admission, Revocation
    from rclib.wire.ids import Nonce, SessionId

CLOSE_LINGER_S: Final = 2.0
"""How long a closed leg may take to read why."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a leg may take for what, in seconds."""

    hello_s: float
    write_s: float
    ping_s: float = relay.PING_S
    dead_s: float = relay.DEAD_S


@dataclass(slots=True)
class _Leg:
    nonce: Nonce
    """To be signed; of this connection alone."""
    heard_at: float
    until: float
    """Until then it has to be admitted; once admitted, the end of its lease. For a steward, when
    the last revocation it brought is no longer needed."""
    ping_at: float = math.inf
    blocked_until: float = math.inf
    abort_at: float = math.inf
    """Finite: it was closed, and only its connection is left."""
    claim: Claim | None = None
    admission: Admission | None = None
    is_steward: bool = False
    """The control plane's connection: it brings revocations and has no channel."""
    partner: LegId | None = None

    @property
    def is_closed(self) -> bool:
        return self.abort_at < math.inf

    @property
    def is_known(self) -> bool:
        """Whether it has proved what it is: a leg, or the control plane."""
        return self.admission is not None or self.is_steward


@dataclass(slots=True)
class _Channel:
    legs: dict[Side, LegId] = field(default_factory=dict)
    early: dict[Side, EarlyMessages] = field(
        default_factory=lambda: {side: EarlyMessages() for side in Side}
    )
    """What a side sent while the other was away."""


class Channels:
    """All legs and channels of one relay."""

    def __init__(self, doorkeeper: Doorkeeper, timing: Timing) -> None:
        self._doorkeeper = doorkeeper
        self._timing = timing
        self._legs: dict[LegId, _Leg] = {}
        self._channels: dict[SessionId, _Channel] = {}
        self._timers: TimerWheel[LegId] = TimerWheel()
        self._revoked: dict[SessionId, float] = {}
        """Until when no token of a session admits, on the boot clock."""

    @property
    def open_legs(self) -> tuple[LegId, ...]:
        """All that are not closed, admitted or not."""
        return tuple(leg for leg, state in self._legs.items() if not state.is_closed)

    @property
    def channel_count(self) -> int:
        return len(self._channels)

    # Events.

    def connected(self, leg: LegId, accepted_at: float) -> list[Command]:
        """A leg from its first frame on; the time for its admission runs since the accept.

        What it has to sign is there before it asks: that saves each start a round trip.
        """
        nonce = self._doorkeeper.new_nonce()
        until = accepted_at + self._timing.hello_s
        self._legs[leg] = _Leg(nonce=nonce, heard_at=accepted_at, until=until)
        self._arm(leg)
        return [Send(leg, relay.encode(relay.Challenge(nonce)))]

    def heard(self, leg: LegId, now: float) -> None:
        """The leg sent something, perhaps DATA that was passed on already."""
        if leg in self._legs:
            self._legs[leg].heard_at = now

    def received(
        self, leg: LegId, message: relay.Readable, now: float, wall_s: float
    ) -> list[Command]:
        """Any message that is not DATA for a partner."""
        state = self._legs.get(leg)
        if state is None or state.is_closed:
            return []
        if not state.is_known and len(message) > relay.MAX_FIRST_MESSAGE_BYTES:
            return self.close(leg, CloseReason.BAD_FRAME, "too long for a leg not admitted", now)
        try:
            frame = relay.decode(message)
            return self._handle(leg, state, frame, now, wall_s)
        except DecodeError as exc:
            return self.close(leg, CloseReason.BAD_FRAME, str(exc), now)
        except RefusedError as exc:
            return self.close(leg, exc.reason, exc.detail, now)

    def write_blocked(self, leg: LegId, now: float) -> None:
        """The leg's connection takes no more bytes."""
        state = self._legs.get(leg)
        if state is not None and not state.is_closed:
            state.blocked_until = now + self._timing.write_s
            self._arm(leg)

    def write_resumed(self, leg: LegId) -> None:
        if leg in self._legs:
            self._legs[leg].blocked_until = math.inf

    def disconnected(self, leg: LegId) -> list[Command]:
        """The connection is gone."""
        state = self._legs.pop(leg, None)
        self._timers.disarm(leg)
        return self._leave(leg, state) if state is not None else []

    def close(self, leg: LegId, reason: CloseReason, detail: str, now: float) -> list[Command]:
        """End a leg; also for the adapter's own reasons. Nothing if it is closed already."""
        state = self._legs.get(leg)
        if state is None or state.is_closed:
            return []
        state.abort_at = now + CLOSE_LINGER_S
        self._arm(leg)
        return [CloseLeg(leg, reason, detail), *self._leave(leg, state)]

    def deadline(self) -> float | None:
        """When `due` has something to do."""
        return self._timers.deadline

    def due(self, now: float) -> list[Command]:
        """What the clock demands: admission in time, leases, signs of life, slow readers."""
        commands: list[Command] = []
        for leg in self._timers.expired(now):
            commands += self._due(leg, self._legs[leg], now)
            self._arm(leg)
        return commands

    # Frames, in the order of a leg's life.

    def _handle(
        self, leg: LegId, state: _Leg, frame: relay.Frame, now: float, wall_s: float
    ) -> list[Command]:
        match frame:
            case relay.Hello() if state.claim is None and not state.is_steward:
                state.claim = self._doorkeeper.hello(frame, wall_s)
                self._refuse_revoked(state.claim.admission.sub, now)
                return []
            case relay.Proof() if state.claim is not None and state.admission is None:
                admission = self._doorkeeper.proof(state.claim, state.nonce, frame, wall_s)
                self._refuse_revoked(admission.sub, now)
                return self._admit(leg, state, admission, now, wall_s)
            case relay.Data() | relay.Signal() if state.admission is not None:
                return self._pass_on(leg, state, state.admission, frame, now)
            case relay.Renew() if state.admission is not None:
                fresh = self._doorkeeper.renew(state.admission, frame, wall_s)
                # A renewal that was overtaken by a later one does not shorten the lease.
                state.until = max(state.until, now + (fresh.exp - wall_s))
                return []
            case relay.Revoke() if state.claim is None:
                revocation = self._doorkeeper.revoke(frame, wall_s)
                return self._revoke(leg, state, revocation, now, wall_s)
            case relay.Ping(echo) if state.is_known:
                return [Send(leg, relay.encode(relay.Pong(echo)))]
            case relay.Pong() if state.is_known:
                return []
            case relay.Close():
                return self.close(leg, CloseReason.DONE, "closed by its own end", now)
            case _:
                name = type(frame).__name__.upper()
                return self.close(leg, CloseReason.BAD_FRAME, f"{name} at the wrong time", now)

    def _admit(
        self, leg: LegId, state: _Leg, admission: Admission, now: float, wall_s: float
    ) -> list[Command]:
        session, side = admission.sub, admission.side
        commands: list[Command] = []
        channel = self._channels.get(session)
        holder = channel.legs.get(side) if channel is not None else None
        if holder is not None:
            held = self._legs[holder].admission
            if held is None or held.key != admission.key:
                raise RefusedError(
                    CloseReason.SIDE_TAKEN,
                    "another key holds this side of the channel; "
                    "it is free when that leg or its lease ends",
                )
            replaced = "a newer leg of the same key took over"
            commands += self.close(holder, CloseReason.REPLACED, replaced, now)
        # Setting the wall clock moves no lease: from here on the boot clock alone counts.
        state.until = now + (admission.exp - wall_s)
        state.ping_at = now + self._timing.ping_s
        state.admission = admission
        self._arm(leg)
        channel = self._channels.setdefault(session, _Channel())
        channel.legs[side] = leg
        commands.append(Admit(leg, session, side))
        partner = channel.legs.get(side.other)
        if partner is None:
            return [*commands, Send(leg, relay.encode(relay.Ready(partner_present=False)))]
        return [*commands, *self._join(leg, partner, channel, now)]

    def _join(self, leg: LegId, partner: LegId, channel: _Channel, now: float) -> list[Command]:
        self._legs[leg].partner, self._legs[partner].partner = partner, leg
        ready = relay.encode(relay.Ready(partner_present=True))
        commands: list[Command] = [Join(leg, partner), Send(leg, ready), Send(partner, ready)]
        for side, sender in channel.legs.items():
            receiver = partner if sender == leg else leg
            commands += [Send(receiver, message) for message in channel.early[side].take(now)]
        return commands

    def _pass_on(
        self,
        leg: LegId,
        state: _Leg,
        admission: Admission,
        frame: relay.Data | relay.Signal,
        now: float,
    ) -> list[Command]:
        message = relay.encode(frame)
        if state.partner is not None:
            return [Send(state.partner, message)]
        if self._channels[admission.sub].early[admission.side].keep(message, now):
            return []
        return [DropMessage(leg)]

    # Revocations: whoever brings one, the control plane's signature makes it valid.

    def _revoke(
        self, leg: LegId, state: _Leg, revocation: Revocation, now: float, wall_s: float
    ) -> list[Command]:
        self._revoked = {s: until for s, until in self._revoked.items() if until > now}
        until = now + (revocation.exp - wall_s)
        self._revoked[revocation.sub] = max(until, self._revoked.get(revocation.sub, 0.0))
        commands: list[Command] = []
        if not state.is_steward:
            state.is_steward = True
            state.until, state.ping_at = until, now + self._timing.ping_s
            commands.append(Trust(leg))
        state.until = max(state.until, until)
        self._arm(leg)
        channel = self._channels.get(revocation.sub)
        for ended in tuple(channel.legs.values()) if channel is not None else ():
            commands += self.close(ended, CloseReason.REVOKED, "the control plane ended it", now)
        return commands

    def _refuse_revoked(self, session: SessionId, now: float) -> None:
        if self._revoked.get(session, 0.0) > now:
            raise RefusedError(CloseReason.REVOKED, "the control plane ended this session")

    # The clock.

    def _due(self, leg: LegId, state: _Leg, now: float) -> list[Command]:
        if state.is_closed:
            if now < state.abort_at:
                return []
            state.abort_at = now + CLOSE_LINGER_S
            return [Abort(leg)]
        if now >= state.until:
            if state.is_steward:
                return self.close(leg, CloseReason.DONE, "every revocation has run out", now)
            if state.admission is None:
                return self.close(leg, CloseReason.HELLO_TIMEOUT, "not admitted in time", now)
            return self.close(
                leg, CloseReason.LEASE_ENDED, "the token ran out and was not renewed", now
            )
        if now >= state.blocked_until:
            detail = f"did not read for {self._timing.write_s:g} s"
            # What it has not read stands in front of the reason, so there is nothing to wait for.
            return [*self.close(leg, CloseReason.TOO_SLOW, detail, now), Abort(leg)]
        if not state.is_known:
            return []
        if now >= state.heard_at + self._timing.dead_s:
            return [*self.close(leg, CloseReason.SILENT, "no answer to PING", now), Abort(leg)]
        if now >= state.ping_at:
            state.ping_at = now + self._timing.ping_s
            echo = int(now * 1000).to_bytes(relay.PING_BYTES, "big")
            return [Send(leg, relay.encode(relay.Ping(echo)))]
        return []

    def _arm(self, leg: LegId) -> None:
        state = self._legs[leg]
        if state.is_closed:
            self._timers.arm(leg, state.abort_at)
            return
        at = min(state.until, state.blocked_until, state.ping_at)
        if state.is_known:
            at = min(at, state.heard_at + self._timing.dead_s)
        self._timers.arm(leg, at)

    # The end.

    def _leave(self, leg: LegId, state: _Leg) -> list[Command]:
        """Take a leg out of its channel; its partner stays and waits for the next one."""
        admission, state.admission = state.admission, None
        if admission is None:
            return []
        channel = self._channels[admission.sub]
        del channel.legs[admission.side]
        channel.early[admission.side].clear()
        if not channel.legs:
            del self._channels[admission.sub]
        partner, state.partner = state.partner, None
        if partner is None:
            return [Part(leg)]
        self._legs[partner].partner = None
        return [Part(leg), Part(partner), Send(partner, relay.encode(relay.Gone()))]
