"""One leg towards a relay, from HELLO to the end: a pure state machine.

HELLO ──► PROVING ──► PROVED ──► ALONE ⇄ PAIRED ──► ENDED. READY and GONE move it between ALONE and
PAIRED; CLOSE, silence or a broken connection end it, and what ended it first stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rclib.wire import relay
from rclib.wire.identity import relay_statement, token_digest
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.wire.ids import RelayId, Signature


class LegState(StrEnum):
    """Where a leg is; only PAIRED carries data to the partner."""

    HELLO = "hello"
    PROVING = "proving"
    PROVED = "proved"
    ALONE = "alone"
    PAIRED = "paired"
    ENDED = "ended"


ADMITTED: Final = frozenset((LegState.ALONE, LegState.PAIRED))
TAKES_HANDSHAKES: Final = ADMITTED | {LegState.PROVED}
"""What is sent behind a proof meets a relay that has checked it."""

_TOKEN_IS_SPENT: Final = frozenset(
    (
        CloseReason.VERSION,
        CloseReason.TOKEN_INVALID,
        CloseReason.TOKEN_EXPIRED,
        CloseReason.WRONG_RELAY,
        CloseReason.PROOF_INVALID,
        CloseReason.LEASE_ENDED,
        CloseReason.REVOKED,
    )
)


@dataclass(frozen=True, slots=True)
class LegEnd:
    """Why a leg is over; `reason` None: the relay did not say."""

    reason: CloseReason | None
    detail: str
    wait_s: float = 0.0
    """How long the relay asked to be left alone."""
    was_admitted: bool = False

    @property
    def needs_fresh_token(self) -> bool:
        """Whether the same token would be refused again."""
        return self.reason in _TOKEN_IS_SPENT

    @property
    def was_replaced(self) -> bool:
        """Whether a newer leg of this key took over, which a further attempt would throw out."""
        return self.reason is CloseReason.REPLACED


class RelayLegCore:
    """What to answer to which message."""

    def __init__(self, relay_id: RelayId, token: str, sign: Callable[[bytes], Signature]) -> None:
        self.relay_id: Final = relay_id
        self._sign = sign
        self._token = token
        self._restart_wait_s = 0.0
        self._heard_at = 0.0
        self._was_admitted = False
        self.state = LegState.HELLO
        self.end: LegEnd | None = None

    @property
    def is_admitted(self) -> bool:
        return self.state in ADMITTED

    @property
    def takes_handshakes(self) -> bool:
        return self.state in TAKES_HANDSHAKES

    def connected(self, now: float) -> bytes:
        """The first message."""
        self._heard_at = now
        self.state = LegState.PROVING
        return relay.encode(relay.Hello(relay.PROTOCOL_VERSION, self._token))

    def renew(self, token: str) -> bytes:
        """The message that lengthens the lease of an admitted leg."""
        return relay.encode(relay.Renew(token))

    def heard(self, now: float) -> None:
        """Any message came in."""
        self._heard_at = now

    def is_silent(self, now: float) -> bool:
        """Whether the relay has given no sign of life, though it pings every PING_S."""
        return self.state is not LegState.ENDED and now - self._heard_at >= relay.DEAD_S

    def received(self, frame: relay.Frame) -> bytes | None:
        """Take a frame that is not DATA or SIGNAL, return the answer; sets `state` and `end`."""
        match frame:
            case relay.Challenge(nonce) if self.state is LegState.PROVING:
                signed = relay_statement(self.relay_id, nonce, token_digest(self._token))
                self.state = LegState.PROVED
                return relay.encode(relay.Proof(self._sign(signed)))
            case relay.Ready(partner_present) if self.state in TAKES_HANDSHAKES:
                self._was_admitted = True
                self.state = LegState.PAIRED if partner_present else LegState.ALONE
            case relay.Gone() if self.is_admitted:
                self.state = LegState.ALONE
            case relay.Ping(echo):
                return relay.encode(relay.Pong(echo))
            case relay.Pong():
                pass
            case relay.Restarting(retry_in_ms):
                self._restart_wait_s = retry_in_ms / 1000
            case relay.Close(reason, detail):
                self.lost(reason, detail)
            case _:
                name = type(frame).__name__.upper()
                self.lost(None, f"the relay broke the protocol: {name} at the wrong time")
        return None

    def lost(self, reason: CloseReason | None, detail: str) -> None:
        """The leg is over; the first reason stands."""
        self.state = LegState.ENDED
        if self.end is None:
            self.end = LegEnd(reason, detail, self._restart_wait_s, self._was_admitted)
