"""One leg towards a relay, from HELLO to the end: a pure state machine.

HELLO ──► PROVING ──► ALONE ⇄ PAIRED ──► ENDED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rclib.wire import relay
from rclib.wire.admission import token_digest
from rclib.wire.identity import relay_statement
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.wire.ids import RelayId, Signature


class LegState(StrEnum):
    """Where a leg is; only PAIRED carries data to the partner."""

    HELLO = "hello"
    PROVING = "proving"
    ALONE = "alone"
    PAIRED = "paired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class LegEnd:
    """Why the relay ended the leg, and how long to stay away."""

    reason: CloseReason | None
    detail: str
    wait_s: float = 0.0


class RelayLegCore:
    """What to answer to which message."""

    def __init__(self, relay_id: RelayId, token: str, sign: Callable[[bytes], Signature]) -> None:
        self._relay_id = relay_id
        self._token = token
        self._sign = sign
        self._restart_wait_s = 0.0
        self.state = LegState.HELLO
        self.end: LegEnd | None = None

    def hello(self) -> bytes:
        """The first message."""
        self.state = LegState.PROVING
        return relay.encode(relay.Hello(relay.PROTOCOL_VERSION, self._token))

    def renew(self, token: str) -> bytes:
        """The message that lengthens the lease of an admitted leg."""
        self._token = token
        return relay.encode(relay.Renew(token))

    def received(self, frame: relay.Frame) -> bytes | None:
        """What to answer to a frame that is not DATA or SIGNAL; sets `state` and `end`."""
        match frame:
            case relay.Challenge(nonce) if self.state is LegState.PROVING:
                signed = relay_statement(self._relay_id, nonce, token_digest(self._token))
                return relay.encode(relay.Proof(self._sign(signed)))
            case relay.Ready(partner_present):
                self.state = LegState.PAIRED if partner_present else LegState.ALONE
            case relay.Gone():
                self.state = LegState.ALONE
            case relay.Ping(echo):
                return relay.encode(relay.Pong(echo))
            case relay.Restarting(retry_in_ms):
                self._restart_wait_s = retry_in_ms / 1000
            case relay.Close(reason, detail):
                self.lost(reason, detail)
            case relay.Pong():
                pass
            case _:
                name = type(frame).__name__.upper()
                self.lost(CloseReason.BAD_FRAME, f"the relay sent {name} at the wrong time")
        return None

    def lost(self, reason: CloseReason | None, detail: str) -> None:
        """The leg is over; the first reason stands."""
        self.state = LegState.ENDED
        if self.end is None:
            self.end = LegEnd(reason, detail, self._restart_wait_s)
