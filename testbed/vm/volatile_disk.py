"""A disk for a virtual machine, with the write cache of a real one: volatile.

QEMU reaches it as a Network Block Device over a Unix socket (the NBD protocol, "fixed newstyle").
What the guest wrote is held in memory until it flushes; only then is it in the image. When the
power is cut, each sector that was written since the last flush has reached the medium or not, as
chance will have it: in whatever order, in part or not at all.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

SECTOR_BYTES: Final = 4096
"""The physical sector of disks and flash. ext4 needs as much: with sectors of 512 bytes half of a
commit block of its journal can survive, and then it does not mount."""

_GREETING: Final = struct.pack("!8s8sH", b"NBDMAGIC", b"IHAVEOPT", 0b11)  # newstyle, no zeroes
_OPTION: Final = struct.Struct("!8sII")
_OPTION_REPLY: Final = struct.Struct("!QIII")
_OPTION_REPLY_MAGIC: Final = 0x3E889045565A9
_GO: Final = 7
_ACK, _INFO, _UNSUPPORTED = 1, 3, 1 << 31 | 1
_HAS_FLAGS, _SENDS_FLUSH = 1 << 0, 1 << 2
_REQUEST: Final = struct.Struct("!IHHQQI")
_REQUEST_MAGIC: Final = 0x25609513
_REPLY: Final = struct.Struct("!IIQ")
_REPLY_MAGIC: Final = 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_INVALID: Final = 22  # EINVAL
_END_S: Final = 10.0


class VolatileDisk:
    """Serves a raw image to one machine after the other, until the `with` block ends."""

    def __init__(self, image: Path, chance: random.Random, *, heeds_flushes: bool = True) -> None:
        """Without `heeds_flushes` it lies: it says that it has flushed, and has not."""
        self._image = image
        self._chance = chance
        self._heeds_flushes = heeds_flushes
        self._path = image.with_suffix(".sock")
        self._written: list[tuple[int, bytes]] = []
        """What the cache holds, oldest first."""
        self._writes_left: int | None = None
        self.has_failed = threading.Event()
        """The power went; the machine, which waits for an answer, is to be ended."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._serving: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"nbd+unix:///?socket={self._path}"

    def power_on(self, writes: int | None = None) -> None:
        """Wait for a machine, before it starts; at its write number `writes` the power goes."""
        self._writes_left = writes
        self.has_failed.clear()
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def power_off(self) -> int:
        """Lose what chance wants; returns how many writes were in the cache.

        Call it after the machine's end.
        """
        if self._serving is not None:
            self._serving.join(_END_S)
        written, self._written = self._written, []
        with self._image.open("r+b") as medium:
            for offset, data in written if self._heeds_flushes else ():
                for part in _sectors(offset, len(data)):
                    if self._chance.random() < 0.5:  # noqa: PLR2004 - a coin
                        os.pwrite(medium.fileno(), data[part], offset + part.start)
        return len(written)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        machine, _ = self._listener.accept()
        # EOFError: the machine has ended, which is how all of them do here.
        with machine, suppress(EOFError, ConnectionError):
            content = bytearray(self._image.read_bytes())
            _negotiate(machine, len(content))
            with self._image.open("r+b") as medium:
                while self._answer(machine, content, medium.fileno()):
                    pass
            while machine.recv(1 << 16):  # asked in vain, until it is ended
                pass

    def _answer(self, machine: socket.socket, content: bytearray, medium: int) -> bool:
        """Do what one request asks; returns whether another may follow."""
        head = _REQUEST.unpack(_exactly(machine, _REQUEST.size))
        magic, _, kind, cookie, offset, length = head
        if magic != _REQUEST_MAGIC:
            raise ConnectionError(f"no NBD request: {head}")
        error, answer = 0, b""
        if kind == _READ:
            answer = bytes(content[offset : offset + length])
        elif kind == _WRITE:
            data = _exactly(machine, length)
            content[offset : offset + length] = data
            self._written.append((offset, data))
            if self._writes_left is not None:
                self._writes_left -= 1
                if self._writes_left <= 0:
                    self.has_failed.set()
                    return False
        elif kind == _FLUSH:
            if self._heeds_flushes:
                for at, data in self._written:
                    os.pwrite(medium, data, at)
                self._written.clear()
        elif kind == _DISCONNECT:
            return False
        else:
            error = _INVALID
        machine.sendall(_REPLY.pack(_REPLY_MAGIC, error, cookie) + answer)
        return True


def _sectors(offset: int, length: int) -> Iterator[slice]:
    """Cut what is written at `offset` at the borders of the medium's sectors."""
    borders = range(offset // SECTOR_BYTES * SECTOR_BYTES, offset + length, SECTOR_BYTES)
    for border in borders:
        yield slice(max(border - offset, 0), min(border + SECTOR_BYTES - offset, length))


def _negotiate(machine: socket.socket, size: int) -> None:
    """Agree on nothing but the export's size, and that flushes are understood."""
    machine.sendall(_GREETING)
    _exactly(machine, 4)  # the client's flags
    while True:
        _, option, length = _OPTION.unpack(_exactly(machine, _OPTION.size))
        _exactly(machine, length)
        if option == _GO:
            export = struct.pack("!HQH", 0, size, _HAS_FLAGS | _SENDS_FLUSH)
            _say(machine, option, _INFO, export)
            _say(machine, option, _ACK)
            return
        _say(machine, option, _UNSUPPORTED)


def _say(machine: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    machine.sendall(_OPTION_REPLY.pack(_OPTION_REPLY_MAGIC, option, kind, len(data)) + data)


def _exactly(machine: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = machine.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
