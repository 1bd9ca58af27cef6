"""The attributes a STUN message is made of: one flat table for both directions.

The rows stand at the end, under the functions they are built from. They are everything RFC 8489
defines and nothing a Binding server has no use for; a type that is missing is one that
`rclib.wire.stun.Message.not_understood` reports.

Credentials are carried, not computed: whoever needs MESSAGE-INTEGRITY finds its bytes here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# Set by the protocol.
MAGIC_COOKIE: Final = 0x2112A442
FIRST_OPTIONAL_ATTRIBUTE: Final = 0x8000
"""Below it an attribute must be understood (RFC 8489 §14), from it on it may be skipped."""

_COOKIE: Final = MAGIC_COOKIE.to_bytes(4, "big")
_U32: Final = struct.Struct("!I")
_MAX_TEXT_BYTES: Final = 763
_ERROR_HUNDREDS: Final = range(3, 7)

T = TypeVar("T")


class TransportAddress(NamedTuple):
    """An address and a port as STUN carries them."""

    host: IPv4Address | IPv6Address
    port: int


class ErrorCode(NamedTuple):
    """Why a request was refused."""

    code: int
    reason: str = ""


class Field(NamedTuple):
    """One attribute of one message: `bytes` where the type is not in ATTRIBUTES."""

    type: int
    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Generic[T]):
    """A row of the attribute table.

    `pack` and `unpack` get the transaction id too, because the XOR-ed addresses need it.
    """

    type: int
    name: str
    pack: Callable[[T, bytes], bytes]
    unpack: Callable[[bytes, bytes], T]

    def of(self, value: T) -> Field:
        """Make the field that carries `value`."""
        return Field(self.type, value)


def name_of(kind: int) -> str:
    """Name an attribute type for people."""
    known = ATTRIBUTES.get(kind)
    return known.name if known else f"0x{kind:04X}"


# Values. A reader raises ValueError with a clause that follows the attribute's name.


def _pack_address(address: TransportAddress, _: bytes) -> bytes:
    family = 1 if address.host.version == 4 else 2  # noqa: PLR2004 - IPv4, IPv6
    return struct.pack("!xBH", family, address.port) + address.host.packed


def _unpack_address(value: bytes, _: bytes) -> TransportAddress:
    family = value[1] if len(value) > 1 else 0
    port = int.from_bytes(value[2:4], "big")
    match family, len(value):
        case 1, 8:
            return TransportAddress(IPv4Address(value[4:]), port)
        case 2, 20:
            return TransportAddress(IPv6Address(value[4:]), port)
    raise ValueError(f"is no address: family {family} in {len(value)} bytes")


def _pack_xor_address(address: TransportAddress, transaction_id: bytes) -> bytes:
    return _xor_address(_pack_address(address, b""), transaction_id)


def _unpack_xor_address(value: bytes, transaction_id: bytes) -> TransportAddress:
    return _unpack_address(_xor_address(value, transaction_id), b"")


def _xor_address(value: bytes, transaction_id: bytes) -> bytes:
    # RFC 8489 §14.2: the port with the cookie's first half, the address with the whole
    # cookie and then the transaction id.
    mask = b"\0\0" + _COOKIE[:2] + _COOKIE + transaction_id
    return bytes(byte ^ key for byte, key in zip(value, mask, strict=False)) + value[len(mask) :]


def _pack_error(error: ErrorCode, _: bytes) -> bytes:
    hundreds, number = divmod(error.code, 100)
    if hundreds not in _ERROR_HUNDREDS:
        raise ValueError(f"an error code is between 300 and 699, not {error.code}")
    return bytes((0, 0, hundreds, number)) + _pack_text(error.reason, b"")


def _unpack_error(value: bytes, _: bytes) -> ErrorCode:
    if len(value) < 4:  # noqa: PLR2004 - two reserved bytes, class, number
        raise ValueError("is too short for an error code")
    hundreds, number = value[2] & 0b111, value[3]
    if hundreds not in _ERROR_HUNDREDS or number > 99:  # noqa: PLR2004 - RFC 8489 §14.8
        raise ValueError(f"has class {hundreds} and number {number}")
    return ErrorCode(hundreds * 100 + number, _unpack_text(value[4:], b""))


def _pack_types(types: tuple[int, ...], _: bytes) -> bytes:
    return struct.pack(f"!{len(types)}H", *types)


def _unpack_types(value: bytes, _: bytes) -> tuple[int, ...]:
    if len(value) % 2:
        raise ValueError(f"has {len(value)} bytes, no list of 16 bit types")
    return struct.unpack(f"!{len(value) // 2}H", value)


def _pack_text(text: str, _: bytes) -> bytes:
    value = text.encode()
    if len(value) > _MAX_TEXT_BYTES:
        raise ValueError(f"text of {len(value)} bytes is longer than {_MAX_TEXT_BYTES}")
    return value


def _unpack_text(value: bytes, _: bytes) -> str:
    if len(value) > _MAX_TEXT_BYTES:
        raise ValueError(f"has {len(value)} bytes, more than {_MAX_TEXT_BYTES}")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _pack_opaque(value: bytes, _: bytes) -> bytes:
    return value


def _opaque(lengths: range) -> Callable[[bytes, bytes], bytes]:
    def unpack(value: bytes, _: bytes) -> bytes:
        if len(value) not in lengths:
            raise ValueError(f"has {len(value)} bytes, which RFC 8489 does not allow")
        return value

    return unpack


def _pack_u32(value: int, _: bytes) -> bytes:
    return _U32.pack(value)


def _unpack_u32(value: bytes, _: bytes) -> int:
    if len(value) != _U32.size:
        raise ValueError(f"has {len(value)} bytes, not {_U32.size}")
    return cast("int", _U32.unpack(value)[0])


# The table.

MAPPED_ADDRESS: Final = Attribute(0x0001, "MAPPED-ADDRESS", _pack_address, _unpack_address)
USERNAME: Final = Attribute(0x0006, "USERNAME", _pack_text, _unpack_text)
MESSAGE_INTEGRITY: Final = Attribute(
    0x0008, "MESSAGE-INTEGRITY", _pack_opaque, _opaque(range(20, 21))
)
ERROR_CODE: Final = Attribute(0x0009, "ERROR-CODE", _pack_error, _unpack_error)
UNKNOWN_ATTRIBUTES: Final = Attribute(0x000A, "UNKNOWN-ATTRIBUTES", _pack_types, _unpack_types)
REALM: Final = Attribute(0x0014, "REALM", _pack_text, _unpack_text)
NONCE: Final = Attribute(0x0015, "NONCE", _pack_text, _unpack_text)
MESSAGE_INTEGRITY_SHA256: Final = Attribute(
    0x001C, "MESSAGE-INTEGRITY-SHA256", _pack_opaque, _opaque(range(16, 33, 4))
)
PASSWORD_ALGORITHM: Final = Attribute(
    0x001D, "PASSWORD-ALGORITHM", _pack_opaque, _opaque(range(4, 0xFFFF))
)
USERHASH: Final = Attribute(0x001E, "USERHASH", _pack_opaque, _opaque(range(32, 33)))
XOR_MAPPED_ADDRESS: Final = Attribute(
    0x0020, "XOR-MAPPED-ADDRESS", _pack_xor_address, _unpack_xor_address
)
PASSWORD_ALGORITHMS: Final = Attribute(
    0x8002, "PASSWORD-ALGORITHMS", _pack_opaque, _opaque(range(0xFFFF))
)
ALTERNATE_DOMAIN: Final = Attribute(0x8003, "ALTERNATE-DOMAIN", _pack_text, _unpack_text)
SOFTWARE: Final = Attribute(0x8022, "SOFTWARE", _pack_text, _unpack_text)
ALTERNATE_SERVER: Final = Attribute(0x8023, "ALTERNATE-SERVER", _pack_address, _unpack_address)
FINGERPRINT: Final = Attribute(0x8028, "FINGERPRINT", _pack_u32, _unpack_u32)

ATTRIBUTES: Final[dict[int, Attribute[object]]] = {
    row.type: cast("Attribute[object]", row)
    for row in (
        MAPPED_ADDRESS,
        USERNAME,
        MESSAGE_INTEGRITY,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
        REALM,
        NONCE,
        MESSAGE_INTEGRITY_SHA256,
        PASSWORD_ALGORITHM,
        USERHASH,
        XOR_MAPPED_ADDRESS,
        PASSWORD_ALGORITHMS,
        ALTERNATE_DOMAIN,
        SOFTWARE,
        ALTERNATE_SERVER,
        FINGERPRINT,
    )
}
