"""Which way a session's packets take, and when that changes. A pure core, one for both ends.

    RELAY ──► GATHERING ──► CHECKING ──► AGREED ──► PROBATION ──► DIRECT
      ▲  its time  answered     a pair       the gateway    bytes came     │
      │  has come               works        has moved      in directly    │
      └──── limit, failure, stall, network change, the other end's word ◄──┘

Every session begins at RELAY and every state leads back there; packets travel by the relay in all
states up to AGREED, so that an attempt costs nobody anything. Only the technician's end begins
attempts and asks for the move; the gateway's end answers, and starts at CHECKING. Drawn with all
its edges in docs/paths.md. All times on the boot clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rclib.wire.identity import Side
from rclib.wire.path_signal import FellBack, Moved, MoveRequest, RestartRequest

if TYPE_CHECKING:
    from rclib.wire.path_signal import SignalBody

ATTEMPT_LIMIT_S: Final = 8.0
"""From the first address to a pair that works."""
AGREE_LIMIT_S: Final = 3.0
"""For the gateway's end to move; the relay may be slow, but not this slow."""
PROBATION_S: Final = 1.5
"""Within which a byte arrives directly, or the relay carries on."""
STALL_S: Final = 1.8
"""Nothing received for this long although both ends keep sending: the path is dead. Signs of
life come every half second; back at the relay before a NAT's new binding has cost 3 s."""
BACKOFF_BASE_S: Final = 5.0
BACKOFF_CAP_S: Final = 300.0
SOON_S: Final = 1.0
"""Least time between attempts, also where something says that now is the time."""
SUSPECT_S: Final = 0.8
"""Nothing received for this long: time to see whether the way back is there."""
SETTLED_S: Final = 60.0
"""A direct path that lasted so long was good; what ended it says nothing about the next."""


class PathState(StrEnum):
    """Where an end is; see the drawing above."""

    RELAY = "relay"
    GATHERING = "gathering"
    CHECKING = "checking"
    AGREED = "agreed"
    PROBATION = "probation"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class StartIce:
    """Open a port, gather addresses, offer or answer them, check pairs."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopIce:
    """Close the attempt's port; WireGuard does not get it."""


@dataclass(frozen=True, slots=True)
class TakePort:
    """Close the ICE socket and move WireGuard to its port; with `point`, to the pair's far end."""

    attempt: int
    point: bool


@dataclass(frozen=True, slots=True)
class PointToRelay:
    """WireGuard's endpoint is the loopback socket again, at once."""


@dataclass(frozen=True, slots=True)
class PointToPeer:
    """WireGuard's endpoint is the direct path's far end, whatever came by the relay meanwhile."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Say this to the other end."""

    body: SignalBody


@dataclass(frozen=True, slots=True)
class Probe:
    """Have WireGuard send a sign of life."""


@dataclass(frozen=True, slots=True)
class CheckRelay:
    """The direct path may be dead: see that a relay is there before it is needed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The path that carries packets is another one, or why it still is not."""

    is_direct: bool
    detail: str


PathCommand = (
    StartIce
    | StopIce
    | TakePort
    | PointToRelay
    | PointToPeer
    | Signal
    | Probe
    | CheckRelay
    | Changed
)


class PathPolicy:
    """One end's policy for one session."""

    def __init__(self, side: Side) -> None:
        self.side: Final = side
        self._initiates: Final = side is Side.TECHNICIAN
        self.state = PathState.RELAY
        self.attempt = 0
        """The newest attempt, also after its end."""
        # What is known of the surroundings.
        self._handshaken = False
        self._can_signal = False
        # Of the running attempt or path.
        self._since = 0.0
        self._limit: float | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._nominated = False
        self._asked_to_move = False
        self._heard_at = 0.0
        self._received = 0
        self._sent: int | None = None
        self._suspected = False

    # Surroundings.

    def handshaken(self, now: float) -> list[PathCommand]:
        """WireGuard has a session with its peer: a port may move without losing the first one."""
        self._handshaken = True
        return [*self.due(now), *self._ask_to_move(now)]

    def signalling(self, now: float, *, possible: bool) -> list[PathCommand]:
        """Whether the other end can be told something, by whichever way."""
        self._can_signal = possible
        return self.due(now)

    def network_changed(self, now: float, *, broken: bool) -> list[PathCommand]:
        """Own addresses or routes changed; `broken`: the path in use cannot go on."""
        if self.state is PathState.DIRECT and not broken:
            return []
        commands = self._back(now, "this end's network changed", tell=True)
        self._failures = 0
        if self._initiates:
            self._retry_at = max(now, self._since + SOON_S) if self.attempt else now
            return [*commands, *self.due(now)]
        return [*commands, Signal(RestartRequest())]

    # The attempt, in its order.

    def offered(self, attempt: int, now: float) -> list[PathCommand]:
        """The technician's end has begun an attempt."""
        if self._initiates or attempt <= self.attempt:
            return []
        commands = self._back(now, "the other end tries anew", tell=False)
        self.attempt = attempt
        self._enter(PathState.CHECKING, now, now + ATTEMPT_LIMIT_S)
        return [*commands, StartIce(attempt)]

    def answered(self, attempt: int, now: float) -> list[PathCommand]:
        """The gateway's end takes part."""
        if attempt == self.attempt and self.state is PathState.GATHERING:
            self._enter(PathState.CHECKING, now, now + ATTEMPT_LIMIT_S)
        return []

    def nominated(self, attempt: int, now: float) -> list[PathCommand]:
        """ICE has agreed on a pair that works."""
        if attempt != self.attempt or self.state is not PathState.CHECKING:
            return []
        self._nominated = True
        return self._ask_to_move(now) if self._initiates else self._move_if_asked(now)

    def ice_failed(self, attempt: int, now: float, detail: str) -> list[PathCommand]:
        """No pair works, or the socket is gone."""
        if attempt != self.attempt or self.state not in (PathState.GATHERING, PathState.CHECKING):
            return []
        return self._back(now, detail, tell=True)

    def asked_to_move(self, attempt: int, now: float) -> list[PathCommand]:
        """The technician's end has its pair."""
        if self._initiates or attempt != self.attempt or self.state is not PathState.CHECKING:
            return []
        self._asked_to_move = True
        return self._move_if_asked(now)

    def port_taken(self, attempt: int, received: int, now: float) -> list[PathCommand]:
        """WireGuard listens on the ICE port; `received` as in `measured`."""
        if attempt != self.attempt or self.state is not PathState.AGREED:
            return []
        self._received, self._sent = received, None
        if self._initiates:
            self._enter(PathState.PROBATION, now, now + PROBATION_S)
            return []
        self._enter(PathState.PROBATION, now, now + AGREE_LIMIT_S + PROBATION_S)
        return [Signal(Moved(attempt))]

    def port_refused(self, attempt: int, now: float, detail: str) -> list[PathCommand]:
        """The gate could not move WireGuard; it is where it was."""
        if attempt != self.attempt or self.state is not PathState.AGREED:
            return []
        return self._back(now, detail, tell=True)

    def moved(self, attempt: int, now: float) -> list[PathCommand]:  # noqa: ARG002 - as its like
        """The gateway's end listens at the nominated address."""
        if not self._initiates or attempt != self.attempt or self.state is not PathState.AGREED:
            return []
        return [TakePort(attempt, point=True)]

    # The path in use.

    def measured(self, received: int, sent: int, now: float) -> list[PathCommand]:
        """Bytes that came in directly, and bytes sent, both since the tunnel was opened."""
        grew = received > self._received
        idle = self._sent is not None and sent <= self._sent
        # A high-water mark: what the relay delivered is subtracted before WireGuard has counted it.
        self._received, self._sent = max(received, self._received), sent
        if grew:
            self._heard_at = now
            self._suspected = False
        if self.state is PathState.PROBATION and grew:
            self._enter(PathState.DIRECT, now, None)
            # The other end may still wait for its first byte: it has to go directly.
            return [Changed(is_direct=True, detail=""), PointToPeer(), Probe()]
        commands: list[PathCommand] = []
        is_late = self.state is PathState.DIRECT and now >= self._heard_at + SUSPECT_S
        if is_late and not self._suspected:
            self._suspected = True
            commands.append(CheckRelay())
        waits = self.state is PathState.PROBATION and self._initiates
        if idle and (waits or self.state is PathState.DIRECT):
            commands.append(Probe())
        return [*commands, *self.due(now)]

    def fell_back(self, attempt: int, now: float, detail: str) -> list[PathCommand]:
        """The other end sends by the relay again, or has given up."""
        if attempt != self.attempt or self.state is PathState.RELAY:
            return []
        return self._back(now, f"the other end: {detail}" if detail else "", tell=False)

    def restart_requested(self, now: float) -> list[PathCommand]:
        """The gateway's network has changed."""
        if not self._initiates:
            return []
        commands: list[PathCommand] = []
        if self.state not in (PathState.RELAY, PathState.DIRECT):
            commands = self._back(now, "the gateway's network changed", tell=True)
        if self.state is PathState.RELAY:
            self._failures = 0
            self._retry_at = max(now, self._since + SOON_S)
        return [*commands, *self.due(now)]

    # Time.

    def deadline(self) -> float | None:
        """When `due` has something to do, if nothing else happens."""
        match self.state:
            case PathState.RELAY:
                ready = self._initiates and self._handshaken and self._can_signal
                return self._retry_at if ready else None
            case PathState.DIRECT:
                return self._heard_at + STALL_S
            case _:
                return self._limit

    def due(self, now: float) -> list[PathCommand]:
        """Do what the clock asks for."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        match self.state:
            case PathState.RELAY:
                self.attempt += 1
                self._enter(PathState.GATHERING, now, now + ATTEMPT_LIMIT_S)
                return [StartIce(self.attempt)]
            case PathState.DIRECT:
                detail = f"nothing came in directly for {STALL_S:g} s"
            case PathState.PROBATION:
                detail = "no byte came in directly after the move"
            case PathState.AGREED:
                detail = "the other end did not move"
            case PathState.GATHERING | PathState.CHECKING:
                detail = f"no pair of addresses worked within {ATTEMPT_LIMIT_S:g} s"
        return self._back(now, detail, tell=True)

    # Internals.

    def _ask_to_move(self, now: float) -> list[PathCommand]:
        is_ready = self._nominated and self._handshaken and self.state is PathState.CHECKING
        if not is_ready or not self._initiates:
            return []
        self._enter(PathState.AGREED, now, now + AGREE_LIMIT_S)
        return [Signal(MoveRequest(self.attempt))]

    def _move_if_asked(self, now: float) -> list[PathCommand]:
        if not (self._nominated and self._asked_to_move):
            return []
        self._enter(PathState.AGREED, now, now + AGREE_LIMIT_S)
        # It goes on sending by the relay; WireGuard follows the first packet that comes directly.
        return [TakePort(self.attempt, point=False)]

    def _back(self, now: float, detail: str, *, tell: bool) -> list[PathCommand]:
        """Return to the relay, from wherever; what was under way is undone."""
        state = self.state
        if state is PathState.RELAY:
            return []
        settled = state is PathState.DIRECT and now - self._since >= SETTLED_S
        self._failures = 0 if settled else self._failures + 1
        wait_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** min(self._failures - 1, 10))
        self._retry_at = now + (SOON_S if settled else wait_s)
        self._enter(PathState.RELAY, now, None)
        commands: list[PathCommand] = []
        if state in (PathState.GATHERING, PathState.CHECKING, PathState.AGREED):
            commands.append(StopIce())
        # The word goes ahead of the packets: the other end stops defending the direct path.
        if tell:
            commands.append(Signal(FellBack(self.attempt, detail)))
        if state in (PathState.AGREED, PathState.PROBATION, PathState.DIRECT):
            commands.append(PointToRelay())
        return [*commands, Changed(is_direct=False, detail=detail)]

    def _enter(self, state: PathState, now: float, limit: float | None) -> None:
        if state is not PathState.AGREED and state is not PathState.PROBATION:
            self._nominated = self._asked_to_move = False
        if state in (PathState.PROBATION, PathState.DIRECT):
            self._heard_at = now
        self.state, self._since, self._limit = state, now, limit
