"""A WebSocket client that sends any bytes, for what no library would let through (RFC 6455 §5)."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

MASK: Final = b"\x0a\x0b\x0c\x0d"
PATIENCE_S: Final = 10
UPGRADE: Final = (
    b"GET /relay HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: bytes | None = None,
) -> bytes:
    """Spell one frame; `length` replaces the length bytes, mask bit and all."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if length is None:
        bit, size = (0x80 if masked else 0), len(payload)
        if size < 126:
            length = bytes((bit | size,))
        elif size < 1 << 16:
            length = struct.pack("!BH", bit | 126, size)
        else:
            length = struct.pack("!BQ", bit | 127, size)
    if not masked:
        return bytes((first,)) + length + payload
    sealed = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes((first,)) + length + MASK + sealed


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(Opcode.CLOSE, struct.pack("!H", code) + reason)


@dataclass
class Heard:
    """What a relay said until the connection was closed."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    """Opcode and payload."""

    @property
    def close_code(self) -> int | None:
        """The code of the close frame; 1005: none in it, None: no close frame."""
        for opcode, payload in self.frames:
            if opcode == Opcode.CLOSE:
                return struct.unpack("!H", payload[:2])[0] if payload else 1005
        return None

    def of(self, opcode: Opcode) -> list[bytes]:
        return [payload for kind, payload in self.frames if kind == opcode]


class RawWebSocket:
    """One connection after its upgrade."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self._reader = reader
        self.writer = writer
        self.head = head
        """The answer to the upgrade."""

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext, headers: bytes = b"") -> RawWebSocket:
        """Open one; raises ConnectionError if the upgrade is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(UPGRADE + headers + b"\r\n")
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            writer.close()
            raise ConnectionError(head.decode(errors="replace"))
        return cls(reader, writer, head)

    async def read_frame(self) -> tuple[int, bytes]:
        """Raises IncompleteReadError or ConnectionError at the end."""
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self._reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
            return first & 0x0F, await self._reader.readexactly(size)

    async def read_all(self) -> Heard:
        """Read until the relay closes the connection, which it has to do."""
        heard = Heard()
        try:
            while True:
                heard.frames.append(await self.read_frame())
        except (asyncio.IncompleteReadError, ConnectionError):
            return heard
        finally:
            self.writer.close()
