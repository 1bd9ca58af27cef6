"""The batch lane: plain Binding requests, a whole burst per operation. Pure numpy.

A plain request is a header and nothing else, which is what every ICE agent's gathering sends.
Whatever is not plain is left to `stund.responder`, which would answer the plain ones alike.

All words are in memory order: a constant is made from the bytes it has on the wire, so nothing
here depends on the machine's byte order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rclib.wire import stun
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import MAGIC_COOKIE, XOR_MAPPED_ADDRESS, TransportAddress
from stund.responder import SILENT_PORTS

Words = NDArray[np.uint32]
"""(count, n): so many 32 bit words of each datagram or address."""
Ports = NDArray[np.uint16]
Mask = NDArray[np.bool_]

REQUEST_WORDS: Final = stun.HEADER_BYTES // 4
IPV4_WORDS: Final = 1
IPV6_WORDS: Final = 4

_COOKIE: Final = MAGIC_COOKIE.to_bytes(4, "big")
_TYPE_AND_LENGTH, _COOKIE_WORD = np.frombuffer(
    stun.encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12))), np.uint32, 2
)
_PORT_MASK: Final = np.frombuffer(_COOKIE[:2], np.uint16)[0]
_SILENT: Final = [np.frombuffer(port.to_bytes(2, "big"), np.uint16)[0] for port in SILENT_PORTS]
_MAPPED: Final = np.frombuffer(bytes(10) + b"\xff\xff", np.uint32)
_TRANSACTION_ID: Final = slice(2, 5)
_PORT_AT: Final = 13  # in halves of a word: behind header, attribute type, length and family
_ADDRESS_AT: Final = 7


def plain_requests(
    requests: Words, sizes: NDArray[np.uint32], ports: Ports, addresses: Words
) -> Mask:
    """Tell which datagrams are plain Binding requests from a port that gets answers.

    IPv4 clients of a dual-stack socket are left out: their answers have another length.
    """
    plain: Mask = sizes == stun.HEADER_BYTES
    plain &= requests[:, 0] == _TYPE_AND_LENGTH
    plain &= requests[:, 1] == _COOKIE_WORD
    for port in _SILENT:
        plain &= ports != port
    if addresses.shape[1] == IPV6_WORDS:
        plain &= ~ipv4_mapped(addresses)
    return plain


def ipv4_mapped(addresses: Words) -> Mask:
    """Tell which IPv6 addresses are IPv4 addresses in the spelling ::ffff:a.b.c.d."""
    mapped: Mask = (addresses[:, :3] == _MAPPED).all(axis=1)
    return mapped


def blank_answers(count: int, host: TransportAddress) -> Words:
    """Make room for `count` answers to sources of the family of `host`.

    What all answers have in common is there from the start and stays.
    """
    answer = Message(
        MessageClass.SUCCESS, Method.BINDING, bytes(12), (XOR_MAPPED_ADDRESS.of(host),)
    )
    return np.tile(np.frombuffer(stun.encode(answer), np.uint32), (count, 1))


def write_answers(answers: Words, requests: Words, ports: Ports, addresses: Words) -> None:
    """Write the answer to each request into the same row of `answers`."""
    width = addresses.shape[1]
    answers[:, _TRANSACTION_ID] = requests[:, _TRANSACTION_ID]
    answers.view(np.uint16)[:, _PORT_AT] = ports ^ _PORT_MASK
    # RFC 8489 §14.2: an IPv4 address is masked by the cookie, an IPv6 address by cookie and
    # transaction id, and in the request these stand side by side.
    np.bitwise_xor(
        addresses,
        requests[:, 1 : 1 + width],
        out=answers[:, _ADDRESS_AT : _ADDRESS_AT + width],
    )
