"""STUN messages: RFC 8489, and RFC 5389 where nothing changed (docs/protocol/stun.md).

What the attributes say is in `rclib.wire.stun_attributes`; here they are strung together.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeVar, cast

from rclib.wire.errors import DecodeError
from rclib.wire.stun_attributes import (
    ATTRIBUTES,
    FINGERPRINT,
    FIRST_OPTIONAL_ATTRIBUTE,
    MAGIC_COOKIE,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    Field,
    name_of,
)

if TYPE_CHECKING:
    from rclib.wire.stun_attributes import Attribute

# Set by the protocol.
DEFAULT_PORT: Final = 3478
HEADER_BYTES: Final = 20
TRANSACTION_ID_BYTES: Final = 12
FINGERPRINT_BYTES: Final = 8

_HEADER: Final = struct.Struct("!HHI12s")
_TYPE_AND_LENGTH: Final = struct.Struct("!HH")
_FINGERPRINT_XOR: Final = 0x5354554E
_MAX_MESSAGE_LENGTH: Final = 0xFFFC
_MAY_FOLLOW: Final[dict[int, tuple[int, ...]]] = {
    MESSAGE_INTEGRITY.type: (MESSAGE_INTEGRITY_SHA256.type,),
    MESSAGE_INTEGRITY_SHA256.type: (),
}
"""What still counts after an integrity attribute, besides FINGERPRINT (RFC 8489 §14.5, §14.6)."""

T = TypeVar("T")


class MessageClass(IntEnum):
    """What a message is to its receiver."""

    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


class Method(IntEnum):
    """The methods this codec has a name for; any other 12 bit number decodes as an int."""

    BINDING = 0x001


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message."""

    message_class: MessageClass
    method: int
    transaction_id: bytes
    fields: tuple[Field, ...] = ()
    """In the order of the message, without FINGERPRINT."""
    fingerprint: bool = False
    """Whether the message ends in FINGERPRINT; a decoded one was verified."""

    def get(self, attribute: Attribute[T]) -> T | None:
        """Return the value of the first such attribute: RFC 8489 §14 lets repeats be ignored."""
        for kind, value in self.fields:
            if kind == attribute.type:
                return cast("T", value)
        return None

    @property
    def not_understood(self) -> tuple[int, ...]:
        """The comprehension-required types that are not in ATTRIBUTES, each once."""
        return tuple(
            dict.fromkeys(
                kind
                for kind, _ in self.fields
                if kind < FIRST_OPTIONAL_ATTRIBUTE and kind not in ATTRIBUTES
            )
        )


def decode(data: bytes) -> Message:
    """Read one datagram as one message; raises DecodeError.

    Unknown attributes are kept as bytes. Those behind MESSAGE-INTEGRITY are left out, because
    RFC 8489 §14.5 has them ignored: anybody on the way could have added them.
    """
    if len(data) < HEADER_BYTES:
        raise DecodeError("header", f"ends after {len(data)} of {HEADER_BYTES} bytes")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind >> 14:
        raise DecodeError("header.type", "has one of its top two bits set")
    if cookie != MAGIC_COOKIE:
        raise DecodeError("header.cookie", f"is 0x{cookie:08x}, not 0x{MAGIC_COOKIE:08x}")
    if length % 4:
        raise DecodeError("header.length", f"is {length}, not a multiple of 4")
    if length != len(data) - HEADER_BYTES:
        raise DecodeError("header.length", f"is {length} before {len(data) - HEADER_BYTES} bytes")
    fields, fingerprint = _decode_fields(data, transaction_id)
    return Message(*split_type(kind), transaction_id, fields, fingerprint)


def encode(message: Message) -> bytes:
    """Write a message; raises ValueError for one that STUN cannot express."""
    if len(message.transaction_id) != TRANSACTION_ID_BYTES:
        raise ValueError(f"a transaction id has {TRANSACTION_ID_BYTES} bytes")
    body = b"".join(_encode_field(field, message.transaction_id) for field in message.fields)
    length = len(body) + (FINGERPRINT_BYTES if message.fingerprint else 0)
    if length > _MAX_MESSAGE_LENGTH:
        raise ValueError(f"a message has at most {_MAX_MESSAGE_LENGTH} bytes of attributes")
    kind = join_type(message.message_class, message.method)
    data = _HEADER.pack(kind, length, MAGIC_COOKIE, message.transaction_id) + body
    if message.fingerprint:
        data += _encode_field(FINGERPRINT.of(fingerprint_of(data)), message.transaction_id)
    return data


def fingerprint_of(data: bytes) -> int:
    """Compute FINGERPRINT over all that stands before it (RFC 8489 §14.7).

    The length in the header must already count the attribute.
    """
    return zlib.crc32(data) ^ _FINGERPRINT_XOR


def split_type(kind: int) -> tuple[MessageClass, int]:
    """Take class and method out of the 14 bits in which they are interleaved (RFC 8489 §5)."""
    message_class = MessageClass(kind >> 4 & 0b01 | kind >> 7 & 0b10)
    method = kind & 0x00F | kind >> 1 & 0x070 | kind >> 2 & 0xF80
    return message_class, Method.BINDING if method == Method.BINDING else method


def join_type(message_class: MessageClass, method: int) -> int:
    """Interleave class and method, the reverse of `split_type`."""
    if not 0 <= method <= 0xFFF:  # noqa: PLR2004 - the 12 bits the shifts below spell out
        raise ValueError(f"a method has 12 bits, {method} does not fit")
    spread_method = method & 0x00F | (method & 0x070) << 1 | (method & 0xF80) << 2
    return spread_method | (message_class & 0b01) << 4 | (message_class & 0b10) << 7


# The attributes of a message, one after the other.


def _decode_fields(data: bytes, transaction_id: bytes) -> tuple[tuple[Field, ...], bool]:
    fields: list[Field] = []
    counted: tuple[int, ...] | None = None  # None: every type, no integrity attribute yet
    offset = HEADER_BYTES
    while offset < len(data):
        # The total is a multiple of 4 and each step is one, so a type and a length always fit.
        kind, length = _TYPE_AND_LENGTH.unpack_from(data, offset)
        start, end = offset + 4, offset + 4 + length
        if end > len(data):
            raise DecodeError(_place(kind, offset), f"runs {end - len(data)} bytes past the end")
        if kind == FINGERPRINT.type:
            _verify_fingerprint(data, offset, end)
            return tuple(fields), True
        if counted is None or kind in counted:
            row = ATTRIBUTES.get(kind)
            try:
                value = row.unpack(data[start:end], transaction_id) if row else data[start:end]
            except ValueError as broken:
                raise DecodeError(_place(kind, offset), str(broken)) from None
            fields.append(Field(kind, value))
            counted = _MAY_FOLLOW.get(kind, counted)
        offset = end + -end % 4
    return tuple(fields), False


def _verify_fingerprint(data: bytes, offset: int, end: int) -> None:
    if end - offset != FINGERPRINT_BYTES:
        raise DecodeError(_place(FINGERPRINT.type, offset), "is not 4 bytes long")
    if end != len(data):
        raise DecodeError(_place(FINGERPRINT.type, offset), "is not the last attribute")
    if int.from_bytes(data[offset + 4 :], "big") != fingerprint_of(data[:offset]):
        raise DecodeError(_place(FINGERPRINT.type, offset), "does not match the message")


def _place(kind: int, offset: int) -> str:
    return f"attribute {name_of(kind)} at byte {offset}"


def _encode_field(field: Field, transaction_id: bytes) -> bytes:
    row = ATTRIBUTES.get(field.type)
    try:
        value = row.pack(field.value, transaction_id) if row else cast("bytes", field.value)
    except struct.error as broken:
        raise ValueError(f"{name_of(field.type)} cannot carry {field.value!r}") from broken
    return _TYPE_AND_LENGTH.pack(field.type, len(value)) + value + bytes(-len(value) % 4)
