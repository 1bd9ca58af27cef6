"""T9 power cut: what controld's store has acknowledged is there after it, in a virtual machine.

The guest has ext4 on a disk whose write cache is volatile (`testbed.vm.volatile_disk`). At a random
one of the guest's writes, from mounting on, the power goes: QEMU is killed, with the guest's page
cache, and of what was in the disk's cache each sector survives by chance. The next boot recovers
file system and database, checks what had been acknowledged to this machine before the cut, and
goes on writing to the same database.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from testbed.vm import machine
from testbed.vm.machine import Hardware, Machine
from testbed.vm.volatile_disk import VolatileDisk
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

CUTS = 20
MAX_WRITES = 150
"""Of a boot before the power goes. Mounting and recovery take some twenty."""
IMAGE_BYTES = 64 << 20
BLOCK_BYTES = 4096
"""As on any larger disk."""
BOOT_S = 400
SCRIPT = """
modprobe ext4 && mkdir /run/disk && mount -t ext4 /dev/vda /run/disk || exit 9
echo mounted
exec python -m testbed.durable_writer write /run/disk/controld.db {acknowledged}
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    reason = machine.why_not()
    if reason is not None:
        pytest.skip(reason)


class Plug:
    """A machine that writes, boot after boot; what it said it had done, and whether it had not."""

    def __init__(self, directory: Path, chance: random.Random, *, heeds_flushes: bool) -> None:
        image = directory / "disk.img"
        with image.open("wb") as made:
            made.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-b", str(BLOCK_BYTES), image], check=True)
        self.disk = VolatileDisk(image, chance, heeds_flushes=heeds_flushes)
        self.acknowledged: list[int] = []
        self.lost_writes: list[int] = []
        """How many were in the disk's cache when the power went."""
        self._told = directory / "acknowledged"

    def boot(
        self,
        until_it_said: Callable[[list[str]], bool] = lambda _: False,
        writes: int | None = None,
    ) -> list[str]:
        """Cut the power at that write, or when that has been said; returns all that was said."""
        self._told.write_text("".join(f"{row}\n" for row in self.acknowledged))
        said: list[str] = []
        self.disk.power_on(writes)
        script = SCRIPT.format(acknowledged=self._told)
        hardware = Hardware(memory_mib=768, disks=(self.disk.url,))
        with Machine(["sh", "-c", script], hardware=hardware, stdout=subprocess.PIPE) as guest:
            reader = threading.Thread(target=read_lines, args=(guest, said))
            reader.start()
            until(
                lambda: (
                    self.disk.has_failed.is_set()
                    or guest.qemu.poll() is not None
                    or until_it_said(said)
                ),
                BOOT_S,
                f"the power cut; the guest said {said}, its kernel {guest.console()}",
            )
            guest.cut_power()
            reader.join()  # all that was said before the cut
        self.lost_writes.append(self.disk.power_off())
        self.acknowledged += [int(line) for line in said if line.isdecimal()]
        return said


def has_checked(said: list[str]) -> bool:
    return any("acknowledged changes" in line for line in said)


def read_lines(guest: Machine, said: list[str]) -> None:
    """Whole lines only: the last one may have been cut."""
    assert guest.qemu.stdout is not None
    for line in guest.qemu.stdout:
        if line.endswith(b"\n"):
            said.append(line.decode().strip())  # noqa: PERF401 - read while it grows


def test_t9_nothing_acknowledged_is_lost_in_twenty_power_cuts(tmp_path: Path) -> None:
    chance = random.Random(9)  # noqa: S311 -- chooses moments and sectors
    plug = Plug(tmp_path, chance, heeds_flushes=True)
    with plug.disk:
        for _ in range(CUTS):
            said = plug.boot(writes=chance.randrange(1, MAX_WRITES))
            assert plug.disk.has_failed.is_set(), said
            assert not [line for line in said if "LOST" in line], said
        said = plug.boot(has_checked)
    assert f"{len(plug.acknowledged)} acknowledged changes" in "\n".join(said), said
    assert not [line for line in said if "LOST" in line], said
    sys.stdout.write(f"{len(plug.acknowledged)} rows acknowledged, lost {plug.lost_writes}\n")
    assert len(plug.acknowledged) > CUTS
    assert sum(plug.lost_writes) > CUTS


def test_t9_a_disk_that_lies_about_flushing_is_found_out(tmp_path: Path) -> None:
    """What the check is worth: it sees rows that are gone."""
    plug = Plug(tmp_path, random.Random(9), heeds_flushes=False)  # noqa: S311
    with plug.disk:
        plug.boot(lambda said: sum(line.isdecimal() for line in said) > 1)
        said = plug.boot(has_checked)
    assert [line for line in said if "LOST" in line], said
