"""The disk of the power cuts, asked by an NBD client of its own."""

from __future__ import annotations

import random
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from testbed.vm.volatile_disk import SECTOR_BYTES, VolatileDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECTORS = 400
OLD, NEW = b"\0" * SECTOR_BYTES, b"n" * SECTOR_BYTES
READ, WRITE, FLUSH, TRIM = 0, 1, 3, 4


class Client:
    """Speaks as QEMU does: options first, then one request after the other."""

    def __init__(self, disk: VolatileDisk) -> None:
        self.link = socket.socket(socket.AF_UNIX)
        self.link.connect(disk.url.partition("=")[2])
        self.link.settimeout(10)
        assert self._take(18)[:16] == b"NBDMAGICIHAVEOPT"
        self.link.sendall(struct.pack("!I", 3))
        structured_replies, go = 8, 7
        self.link.sendall(struct.pack("!8sII", b"IHAVEOPT", structured_replies, 0))
        assert self._option_reply() == (1 << 31 | 1, b"")
        self.link.sendall(struct.pack("!8sIIIH", b"IHAVEOPT", go, 6, 0, 0))
        assert self._option_reply() == (3, struct.pack("!HQH", 0, SECTORS * SECTOR_BYTES, 5))
        assert self._option_reply() == (1, b"")

    def ask(self, kind: int, sector: float = 0, data: bytes = b"") -> tuple[int, bytes]:
        """Return the error, 0 for none, and one sector if it was read."""
        offset, size = int(sector * SECTOR_BYTES), len(data) or SECTOR_BYTES
        self.link.sendall(struct.pack("!IHHQQI", 0x25609513, 0, kind, 7, offset, size) + data)
        magic, error, cookie = struct.unpack("!IIQ", self._take(16))
        assert (magic, cookie) == (0x67446698, 7)
        return error, self._take(SECTOR_BYTES) if kind == READ else b""

    def end(self) -> None:
        self.link.close()

    def _option_reply(self) -> tuple[int, bytes]:
        _, _, kind, size = struct.unpack("!QIII", self._take(20))
        return kind, self._take(size)

    def _take(self, size: int) -> bytes:
        return self.link.recv(size, socket.MSG_WAITALL) if size else b""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(OLD * SECTORS)
    return path


@pytest.fixture
def disk(image: Path) -> Iterator[VolatileDisk]:
    with VolatileDisk(image, random.Random(1)) as made:  # noqa: S311 -- chooses sectors
        made.power_on()
        yield made


def sectors(image: Path) -> list[bytes]:
    data = image.read_bytes()
    return [data[at : at + SECTOR_BYTES] for at in range(0, len(data), SECTOR_BYTES)]


def test_what_was_flushed_survives(disk: VolatileDisk, image: Path) -> None:
    client = Client(disk)
    client.ask(WRITE, 3, NEW * 5)
    client.ask(FLUSH)
    client.end()
    assert disk.power_off() == 0
    assert [i for i, each in enumerate(sectors(image)) if each == NEW] == [3, 4, 5, 6, 7]


def test_of_what_was_not_flushed_each_sector_survives_by_chance(
    disk: VolatileDisk, image: Path
) -> None:
    client = Client(disk)
    client.ask(WRITE, 0, NEW * SECTORS)
    assert client.ask(READ, 9) == (0, NEW)
    assert set(sectors(image)) == {OLD}
    client.end()
    assert disk.power_off() == 1
    assert SECTORS / 4 < sectors(image).count(NEW) < SECTORS * 3 / 4
    assert set(sectors(image)) == {OLD, NEW}


def test_no_sector_survives_in_part(disk: VolatileDisk, image: Path) -> None:
    client = Client(disk)
    client.ask(WRITE, 0, NEW * SECTORS)
    client.ask(FLUSH)
    shift = SECTOR_BYTES // 4
    client.ask(WRITE, 1 / 4, b"o" * (SECTORS - 1) * SECTOR_BYTES)
    client.end()
    disk.power_off()
    first, *whole, last = sectors(image)
    assert set(whole) == {NEW, b"o" * SECTOR_BYTES}
    assert first[:shift] == NEW[:shift]
    assert len(set(first[shift:])) == len(set(last[:shift])) == 1


def test_the_power_goes_at_the_write_that_was_named(image: Path) -> None:
    with VolatileDisk(image, random.Random(1)) as disk:  # noqa: S311
        disk.power_on(writes=2)
        client = Client(disk)
        client.ask(WRITE, 0, NEW)
        assert not disk.has_failed.is_set()
        client.link.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.ask(WRITE, 1, NEW)
        assert disk.has_failed.is_set()
        client.end()
        assert disk.power_off() == 2


def test_a_disk_that_lies_keeps_nothing(image: Path) -> None:
    with VolatileDisk(image, random.Random(1), heeds_flushes=False) as disk:  # noqa: S311
        disk.power_on()
        client = Client(disk)
        client.ask(WRITE, 0, NEW)
        assert client.ask(FLUSH) == (0, b"")
        client.end()
        disk.power_off()
    assert set(sectors(image)) == {OLD}


def test_what_it_does_not_know_it_refuses(disk: VolatileDisk) -> None:
    client = Client(disk)
    assert client.ask(TRIM) == (22, b"")
    client.end()
    disk.power_off()
