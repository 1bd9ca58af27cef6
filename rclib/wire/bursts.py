"""Bursts: the packets of WireGuard that one DATA message of the relay protocol carries.

Many packets in one message are one system call less for each, at both ends and at the relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.wire.relay import (
    DATA_HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_SEGMENTS,
    FrameType,
    data_header,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rclib.wire.relay import Readable

_HANDSHAKE_TYPES: Final = frozenset((1, 2, 3))


def join(packets: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Join packets, in their order, into as few DATA messages as the layout allows.

    All packets of a burst but the last have one size; a handshake (WireGuard types 1 to 3)
    starts and ends its own burst, so that a relay can tell its lane from the first packet.
    """
    parts: list[bytes] = []
    segment = size = 0
    for packet in packets:
        fits = (
            parts
            and len(parts) < MAX_SEGMENTS
            and len(packet) <= segment
            and len(parts[-1]) == segment
            and size + len(packet) <= max_bytes - DATA_HEADER_BYTES
            and not is_handshake(packet)
            and not is_handshake(parts[0])
        )
        if parts and not fits:
            yield data_header(segment) + b"".join(parts)
            parts.clear()
        if not parts:
            segment, size = len(packet), 0
        parts.append(packet)
        size += len(packet)
    if parts:
        yield data_header(segment) + b"".join(parts)


def split(segment: int, packets: memoryview) -> Iterator[memoryview]:
    """The packets of a burst, one view each."""
    for start in range(0, len(packets), segment):
        yield packets[start : start + segment]


def is_burst(message: Readable) -> bool:
    """Whether `decode` would return a Data: all that a relay needs to know of a message.

    It touches the header alone, because a relay asks this of every message it passes on.
    """
    size = len(message) - DATA_HEADER_BYTES
    if size <= 0 or message[0] != FrameType.DATA or len(message) > MAX_MESSAGE_BYTES:
        return False
    segment = message[1] << 8 | message[2]
    return 0 < segment <= size <= segment * MAX_SEGMENTS


def is_handshake(packet: Readable) -> bool:
    """Whether a WireGuard packet is an initiation, response or cookie reply (types 1 to 3)."""
    view = memoryview(packet)
    return len(view) > 0 and view[0] in _HANDSHAKE_TYPES
