"""Relay protocol: one WebSocket binary message is one frame (docs/protocol/relay.md).

In the order of a leg's life: HELLO → CHALLENGE → PROOF → READY, then DATA, SIGNAL, RENEW, PING
and PONG, at the end GONE, RESTARTING or CLOSE. There is no destination field: a leg can only
ever reach the other leg of its channel. The packets of DATA: `bursts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rclib.wire.errors import DecodeError
from rclib.wire.ids import Nonce, Signature

Readable = bytes | bytearray | memoryview

# Set by the protocol.
PROTOCOL_VERSION: Final = 1
DATA_HEADER_BYTES: Final = 3
MAX_MESSAGE_BYTES: Final = 65_535
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PING_BYTES: Final = 8

# Our own limits.
MAX_FIRST_MESSAGE_BYTES: Final = 4096
MAX_SIGNAL_BYTES: Final = 4096
MAX_DETAIL_BYTES: Final = 200
MAX_SEGMENTS: Final = 64
"""Packets in one burst: what Linux takes in one sendmsg with UDP_SEGMENT."""
PING_S: Final = 25.0
"""How often the relay asks a leg for a sign of life."""
DEAD_S: Final = 45.0
"""After this long without any message the other end of a leg's connection is gone."""


class FrameType(IntEnum):
    """First byte of every message."""

    HELLO = 0x01  # version u8, token (compact JWS, rest)
    CHALLENGE = 0x02  # nonce 32
    PROOF = 0x03  # signature 64
    READY = 0x04  # partner u8 (0 absent, 1 present)
    RENEW = 0x05  # token (compact JWS, rest)
    REVOKE = 0x06  # revocation (compact JWS, rest); instead of HELLO, from the control plane
    DATA = 0x10  # segment u16, packets of `segment` bytes, the last may be shorter
    SIGNAL = 0x11  # payload 1..4096, signed end to end
    PING = 0x20  # echo 8
    PONG = 0x21  # echo 8
    GONE = 0x30  # nothing
    RESTARTING = 0x31  # retry_in_ms u32
    CLOSE = 0x32  # reason u8, detail (UTF-8, at most 200)


class CloseReason(IntEnum):
    """Why a leg ends. Closed set: the peer acts on the number, people read the detail."""

    DONE = 0  # the end itself is finished
    BAD_FRAME = 1  # the message broke the format, or came at the wrong time
    VERSION = 2  # the relay does not speak this version
    TOKEN_INVALID = 3  # not signed by the relay's control plane, or not readable
    TOKEN_EXPIRED = 4  # fetch a fresh one
    WRONG_RELAY = 5  # the token names another relay
    PROOF_INVALID = 6  # the leg does not hold the key its token names
    REPLACED = 7  # a newer leg of the same key took over
    SIDE_TAKEN = 8  # another key holds this side of the channel
    LEASE_ENDED = 9  # the token ran out and was not renewed
    REVOKED = 10  # the control plane ended the session
    TOO_SLOW = 11  # the leg did not read for longer than the write deadline
    TOO_MANY = 12  # a limit of the relay is reached; try another or later
    SILENT = 13  # no answer to PING
    HELLO_TIMEOUT = 14  # not admitted in time
    SHUTTING_DOWN = 15  # the relay ends


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a leg; `version` comes first so that any future relay can read it."""

    version: int
    token: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Fresh randomness of the relay, to be signed with the key the token names."""

    nonce: Nonce


@dataclass(frozen=True, slots=True)
class Proof:
    """`identity.relay_statement` signed."""

    signature: Signature


@dataclass(frozen=True, slots=True)
class Ready:
    """Admitted; sent again when the partner arrives."""

    partner_present: bool


@dataclass(frozen=True, slots=True)
class Renew:
    """A fresh token for the same session, side and key: the lease goes on."""

    token: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """The control plane's signed word that a session is over; answered only if it is refused."""

    revocation: str


@dataclass(frozen=True, slots=True)
class Data:
    """A burst of WireGuard packets, passed on verbatim."""

    segment: int
    packets: memoryview


@dataclass(frozen=True, slots=True)
class Signal:
    """Opaque to the relay; signed end to end."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Liveness, either way."""

    echo: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The PING's eight bytes, returned."""

    echo: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """The partner's leg ended; this one stays and waits for it."""


@dataclass(frozen=True, slots=True)
class Restarting:
    """The relay is about to restart: use another, come back after the delay plus jitter."""

    retry_in_ms: int


@dataclass(frozen=True, slots=True)
class Close:
    """Last message of a leg."""

    reason: CloseReason
    detail: str = ""


Frame = (
    Hello
    | Challenge
    | Proof
    | Ready
    | Renew
    | Revoke
    | Data
    | Signal
    | Ping
    | Pong
    | Gone
    | Restarting
    | Close
)


def decode(message: Readable) -> Frame:
    """Read one WebSocket message; raises DecodeError and nothing else.

    A Data frame's packets are a view into `message`: valid as long as that buffer is.
    """
    view = memoryview(message).cast("B")
    size = len(view)
    if size == 0:
        raise DecodeError("frame", "empty")
    if size > MAX_MESSAGE_BYTES:
        raise DecodeError("frame", f"{size} bytes, more than {MAX_MESSAGE_BYTES}")
    kind, body = view[0], view[1:]
    if kind == FrameType.DATA:
        return _decode_data(body)
    try:
        frame_type = FrameType(kind)
    except ValueError:
        raise DecodeError("frame.type", f"unknown type 0x{kind:02x}") from None
    return _decode_control(frame_type, bytes(body))


def encode(frame: Frame) -> bytes:
    """Spell one frame."""
    match frame:
        case Hello(version, token):
            return bytes((FrameType.HELLO, version)) + token.encode("ascii")
        case Challenge(nonce):
            return bytes((FrameType.CHALLENGE,)) + nonce
        case Proof(signature):
            return bytes((FrameType.PROOF,)) + signature
        case Ready(partner_present):
            return bytes((FrameType.READY, partner_present))
        case Renew(token):
            return bytes((FrameType.RENEW,)) + token.encode("ascii")
        case Revoke(revocation):
            return bytes((FrameType.REVOKE,)) + revocation.encode("ascii")
        case Data(segment, packets):
            return data_header(segment) + packets
        case Signal(payload):
            return bytes((FrameType.SIGNAL,)) + payload
        case Ping(echo):
            return bytes((FrameType.PING,)) + echo
        case Pong(echo):
            return bytes((FrameType.PONG,)) + echo
        case Gone():
            return bytes((FrameType.GONE,))
        case Restarting(retry_in_ms):
            return bytes((FrameType.RESTARTING,)) + retry_in_ms.to_bytes(4, "big")
        case Close(reason, detail):
            return bytes((FrameType.CLOSE, reason)) + _clip(detail)


def data_header(segment: int) -> bytes:
    """The bytes in front of a burst whose packets are `segment` bytes each."""
    return bytes((FrameType.DATA,)) + segment.to_bytes(2, "big")


def _decode_data(body: memoryview) -> Data:
    if len(body) < DATA_HEADER_BYTES:
        raise DecodeError("DATA", "no packet")
    segment = int.from_bytes(body[:2], "big")
    packets = body[2:]
    if segment == 0:
        raise DecodeError("DATA.segment", "0")
    if segment > len(packets):
        raise DecodeError("DATA.segment", f"{segment} bytes announced, {len(packets)} there")
    count = -(-len(packets) // segment)
    if count > MAX_SEGMENTS:
        raise DecodeError("DATA.packets", f"{count} packets, more than {MAX_SEGMENTS}")
    return Data(segment, packets)


def _decode_control(frame_type: FrameType, body: bytes) -> Frame:
    match frame_type:
        case FrameType.HELLO:
            if not body:
                raise DecodeError("HELLO.version", "missing")
            return Hello(body[0], _token("HELLO.token", body[1:]))
        case FrameType.CHALLENGE:
            return Challenge(Nonce(_exactly("CHALLENGE.nonce", body, NONCE_BYTES)))
        case FrameType.PROOF:
            return Proof(Signature(_exactly("PROOF.signature", body, SIGNATURE_BYTES)))
        case FrameType.READY:
            flag = _exactly("READY.partner", body, 1)[0]
            if flag > 1:
                raise DecodeError("READY.partner", f"{flag} is neither 0 nor 1")
            return Ready(flag == 1)
        case FrameType.RENEW | FrameType.REVOKE:
            kind = Renew if frame_type is FrameType.RENEW else Revoke
            return kind(_token(f"{frame_type.name}.token", body))
        case FrameType.SIGNAL:
            if not 0 < len(body) <= MAX_SIGNAL_BYTES:
                raise DecodeError("SIGNAL.payload", f"{len(body)} bytes")
            return Signal(body)
        case FrameType.PING:
            return Ping(_exactly("PING.echo", body, PING_BYTES))
        case FrameType.PONG:
            return Pong(_exactly("PONG.echo", body, PING_BYTES))
        case FrameType.GONE:
            _exactly("GONE", body, 0)
            return Gone()
        case FrameType.RESTARTING:
            return Restarting(int.from_bytes(_exactly("RESTARTING.retry_in_ms", body, 4), "big"))
        case FrameType.CLOSE:
            return _decode_close(body)
        case FrameType.DATA:
            raise AssertionError("DATA is decoded before; see decode()")


def _decode_close(body: bytes) -> Close:
    if not body:
        raise DecodeError("CLOSE.reason", "missing")
    try:
        reason = CloseReason(body[0])
    except ValueError:
        raise DecodeError("CLOSE.reason", f"unknown reason {body[0]}") from None
    if len(body) - 1 > MAX_DETAIL_BYTES:
        raise DecodeError("CLOSE.detail", f"{len(body) - 1} bytes, more than {MAX_DETAIL_BYTES}")
    try:
        return Close(reason, body[1:].decode())
    except UnicodeDecodeError:
        raise DecodeError("CLOSE.detail", "not UTF-8") from None


def _exactly(place: str, body: bytes, size: int) -> bytes:
    if len(body) != size:
        raise DecodeError(place, f"{len(body)} bytes instead of {size}")
    return body


def _token(place: str, body: bytes) -> str:
    if not 0 < len(body) < MAX_FIRST_MESSAGE_BYTES - 1:
        raise DecodeError(place, f"{len(body)} bytes")
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError(place, "not ASCII") from None


def _clip(detail: str) -> bytes:
    """At most MAX_DETAIL_BYTES of UTF-8, cut between characters."""
    return detail.encode("utf-8", "replace")[:MAX_DETAIL_BYTES].decode("utf-8", "ignore").encode()
