"""What the two ends of a session say to each other about their path (docs/protocol/signal.md).

Carried as SIGNAL frames by a relay, or as PathSignal by the control plane; neither can read more
into it than addresses, and neither can change it: each message is signed by its sender's identity,
for one session and one side. 64 bytes of Ed25519 signature, then one JSON object.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.errors import DecodeError
from rclib.wire.identity import is_signed_by, signal_statement
from rclib.wire.ids import Signature
from rclib.wire.session import IpText, Port, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.wire.identity import Side
    from rclib.wire.ids import IdentityKey, SessionId

MAX_CANDIDATES: Final = 16
SIGNATURE_BYTES: Final = 64

Attempt = Annotated[int, msgspec.Meta(ge=1, le=2**32)]
"""Counts an end's tries for a direct path within one session; the technician's end counts."""
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Ufrag = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{4,64}\Z")]
IcePassword = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{22,64}\Z")]


class CandidateKind(StrEnum):
    """Where an end learned the address (RFC 8445 §5.1.1)."""

    HOST = "host"
    SERVER_REFLEXIVE = "srflx"


class Candidate(Struct, frozen=True):
    """One address an end may be reached at."""

    kind: CandidateKind
    address: IpText
    port: Port
    priority: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


Candidates = Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=MAX_CANDIDATES)]


class IceOffer(Struct, frozen=True, tag="ice_offer"):
    """Technician → gateway: let us look for a direct path. Ends any earlier attempt."""

    attempt: Attempt
    ufrag: Ufrag
    password: IcePassword
    candidates: Candidates


class IceAnswer(Struct, frozen=True, tag="ice_answer"):
    """Gateway → technician."""

    attempt: Attempt
    ufrag: Ufrag
    password: IcePassword
    candidates: Candidates


class IceCandidates(Struct, frozen=True, tag="ice_candidates"):
    """More addresses, as they are learned (RFC 8838)."""

    attempt: Attempt
    candidates: Candidates
    is_last: bool = False


class MoveRequest(Struct, frozen=True, tag="move_request"):
    """Technician → gateway: a pair works here; move WireGuard to your end of it, and tell me."""

    attempt: Attempt


class Moved(Struct, frozen=True, tag="moved"):
    """Gateway → technician: WireGuard listens at the nominated address; now you."""

    attempt: Attempt


class FellBack(Struct, frozen=True, tag="fell_back"):
    """This end sends by the relay again, or has given the attempt up."""

    attempt: Attempt
    detail: Text = ""


class RestartRequest(Struct, frozen=True, tag="restart_request"):
    """Gateway → technician, who alone begins attempts: my network has changed."""


class Echo(Struct, frozen=True, tag="echo"):
    """How long is the way by the relay? Answered by an EchoReply with the same token."""

    token: Number


class EchoReply(Struct, frozen=True, tag="echo_reply"):
    """Answer to Echo, with what this end's WireGuard has counted: what is missing was lost."""

    token: Number
    received_bytes: Count
    sent_bytes: Count


SignalBody = (
    IceOffer
    | IceAnswer
    | IceCandidates
    | MoveRequest
    | Moved
    | FellBack
    | RestartRequest
    | Echo
    | EchoReply
)


class Envelope(Struct, frozen=True):
    """A numbered message: what arrives twice, or by both ways, is taken once."""

    number: Number
    body: SignalBody


_decoder: Final[msgspec.json.Decoder[Envelope]] = msgspec.json.Decoder(Envelope)


def seal(
    session: SessionId, side: Side, envelope: Envelope, sign: Callable[[bytes], Signature]
) -> bytes:
    """Sign a message of this side."""
    payload = msgspec.json.encode(envelope)
    return sign(signal_statement(session, side, payload)) + payload


def unseal(session: SessionId, side: Side, key: IdentityKey, data: bytes) -> Envelope:
    """Read a message of the other side, whose identity is `key`; raises DecodeError only."""
    signature, payload = Signature(data[:SIGNATURE_BYTES]), data[SIGNATURE_BYTES:]
    if not is_signed_by(key, signal_statement(session, side, payload), signature):
        raise DecodeError("signal", "not signed by the other end for this session")
    return decode_json(_decoder, "signal", payload)


class Numbers:
    """Which numbers were taken; pure bookkeeping against repetition and replay."""

    WINDOW: Final = 64

    def __init__(self) -> None:
        self._highest = 0
        self._seen: set[int] = set()

    def is_new(self, number: int) -> bool:
        """Take a number; False: it was taken, or is so old that nobody remembers."""
        if number in self._seen or number <= self._highest - self.WINDOW:
            return False
        self._highest = max(self._highest, number)
        self._seen = {n for n in self._seen if n > self._highest - self.WINDOW} | {number}
        return True
