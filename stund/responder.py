"""What a datagram deserves: an answer or silence. Pure; no state, no clock.

`screen` looks at the header only and costs little; `answer` reads the attributes. Between the
two the caller asks the rate limiter, so that a flood never reaches the costlier half.

An answer carries XOR-MAPPED-ADDRESS, FINGERPRINT if the request had one, and nothing else:
whoever forges a source address must not gain by it (docs/protocol/stun.md has the sizes).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from rclib.wire import stun
from rclib.wire.errors import DecodeError
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import (
    ERROR_CODE,
    MAGIC_COOKIE,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    ErrorCode,
    Field,
    TransportAddress,
)

MAX_REQUEST_BYTES: Final = 1500
SILENT_PORTS: Final = (0, stun.DEFAULT_PORT)
"""No client sends from these: nothing comes back to port 0, and 3478 is another server."""

_COOKIE: Final = MAGIC_COOKIE.to_bytes(4, "big")
_BINDING_REQUEST: Final = stun.join_type(MessageClass.REQUEST, Method.BINDING)
_UNKNOWN_ATTRIBUTE: Final = ErrorCode(420)
"""Without a reason phrase: with one the answer would be more than twice the request."""


class Outcome(StrEnum):
    """What became of a datagram: each gets exactly one. A counter each."""

    ANSWERED = "answered"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"  # answered, with error 420
    NOT_SENT = "not_sent"  # the answer was ready, and the kernel did not take it
    RATE_LIMITED = "rate_limited"
    SOURCE_PORT = "source_port"  # sent from a port no client uses
    TOO_LONG = "too_long"
    NOT_STUN = "not_stun"  # shorter than a header, or with the top bits of another protocol
    NO_COOKIE = "no_cookie"  # RFC 3489, which knew no way to keep the answer small
    WRONG_LENGTH = "wrong_length"  # the header does not tell the datagram's length
    NOT_A_REQUEST = "not_a_request"  # an indication or a response
    OTHER_METHOD = "other_method"
    MALFORMED = "malformed"  # an attribute is broken, or FINGERPRINT does not match


class Reply(NamedTuple):
    """The judgement on one datagram, with the answer if it gets one."""

    outcome: Outcome
    answer: bytes | None = None


def respond(datagram: bytes, source: TransportAddress) -> Reply:
    """Judge one datagram from `source`, an IPv4 address never in its IPv6-mapped spelling."""
    refused = screen(datagram, source.port)
    return Reply(refused) if refused else answer(datagram, source)


def screen(datagram: bytes, source_port: int) -> Outcome | None:
    """Return why silence is due by the header alone, or None for a Binding request."""
    if source_port in SILENT_PORTS:
        return Outcome.SOURCE_PORT
    if len(datagram) > MAX_REQUEST_BYTES:
        return Outcome.TOO_LONG
    if len(datagram) < stun.HEADER_BYTES or datagram[0] >> 6:
        return Outcome.NOT_STUN
    if datagram[4:8] != _COOKIE:
        return Outcome.NO_COOKIE
    length = int.from_bytes(datagram[2:4], "big")
    if length % 4 or length != len(datagram) - stun.HEADER_BYTES:
        return Outcome.WRONG_LENGTH
    kind = int.from_bytes(datagram[:2], "big")
    if kind == _BINDING_REQUEST:
        return None
    message_class, _ = stun.split_type(kind)
    is_request = message_class is MessageClass.REQUEST
    return Outcome.OTHER_METHOD if is_request else Outcome.NOT_A_REQUEST


def answer(datagram: bytes, source: TransportAddress) -> Reply:
    """Answer a datagram that passed `screen`."""
    try:
        request = stun.decode(datagram)
    except DecodeError:
        return Reply(Outcome.MALFORMED)
    if request.not_understood:  # RFC 8489 §6.3.1
        outcome, message_class = Outcome.UNKNOWN_ATTRIBUTE, MessageClass.ERROR
        fields: tuple[Field, ...] = (
            ERROR_CODE.of(_UNKNOWN_ATTRIBUTE),
            UNKNOWN_ATTRIBUTES.of(request.not_understood),
        )
    else:
        outcome, message_class = Outcome.ANSWERED, MessageClass.SUCCESS
        fields = (XOR_MAPPED_ADDRESS.of(source),)
    return Reply(
        outcome,
        stun.encode(
            Message(
                message_class,
                Method.BINDING,
                request.transaction_id,
                fields,
                request.fingerprint,
            )
        ),
    )
