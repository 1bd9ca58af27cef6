"""What of RFC 6455 picows leaves to its user."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rclib.wire.relay import Readable

# RFC 6455 §5.2: FIN and opcode 2; the length, or 126 and the length in 16 bits.
_SHORT_HEADER: Final = struct.Struct("!BB")
_LONG_HEADER: Final = struct.Struct("!BBH")
_FINAL_BINARY: Final = 0x82
_MAX_SHORT: Final = 125
_LENGTH_IN_16_BITS: Final = 126

# 1004 to 1006 and 1015 are for programs to say to themselves.
_CODES_ON_THE_WIRE: Final = (range(1000, 1004), range(1007, 1015), range(3000, 5000))


def binary_header(message: Readable) -> bytes:
    """The WebSocket header of a server's binary message of up to MAX_MESSAGE_BYTES."""
    size = len(message)
    if size <= _MAX_SHORT:
        return _SHORT_HEADER.pack(_FINAL_BINARY, size)
    return _LONG_HEADER.pack(_FINAL_BINARY, _LENGTH_IN_16_BITS, size)


def may_close(payload: bytes) -> bool:
    """Whether a close frame's code may stand in one (RFC 6455 §7.4)."""
    if not payload:
        return True
    code = int.from_bytes(payload[:2], "big")
    return any(code in codes for codes in _CODES_ON_THE_WIRE)
