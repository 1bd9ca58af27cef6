"""What a datagram deserves: an answer or silence. Pure; no state, no clock.

Only well-formed Binding requests are answered, with XOR-MAPPED-ADDRESS and nothing else, so that
an answer is hardly larger than the request (RFC 8489 §16; the amplification of other servers is
what their operators get abuse mails for).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import Final

from rclib.wire import stun
from rclib.wire.errors import DecodeError
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import XOR_MAPPED_ADDRESS, TransportAddress

MAX_REQUEST_BYTES: Final = 1500
SILENT_PORTS: Final = frozenset((0, stun.DEFAULT_PORT))
"""An answer to a STUN port could start two servers answering each other."""


class Outcome(StrEnum):
    """What became of a datagram. Closed set; a counter each."""

    ANSWERED = "answered"
    MALFORMED = "malformed"
    NO_REQUEST = "no_request"
    NOT_UNDERSTOOD = "not_understood"
    SILENT_PORT = "silent_port"
    TOO_LARGE = "too_large"


def respond(datagram: bytes, host: str, port: int) -> tuple[Outcome, bytes | None]:
    """Judge one datagram from `host` and `port`."""
    if len(datagram) > MAX_REQUEST_BYTES:
        return Outcome.TOO_LARGE, None
    if port in SILENT_PORTS:
        return Outcome.SILENT_PORT, None
    try:
        request = stun.decode(datagram)
    except DecodeError:
        return Outcome.MALFORMED, None
    if (request.message_class, request.method) != (MessageClass.REQUEST, Method.BINDING):
        return Outcome.NO_REQUEST, None
    if request.not_understood:
        # RFC 8489 §6.3.1 wants a 420; one would be larger than what a spoofed source sent.
        return Outcome.NOT_UNDERSTOOD, None
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    mapped = XOR_MAPPED_ADDRESS.of(TransportAddress(address, port))
    answer = Message(
        MessageClass.SUCCESS,
        Method.BINDING,
        request.transaction_id,
        (mapped,),
        request.fingerprint,
    )
    return Outcome.ANSWERED, stun.encode(answer)
