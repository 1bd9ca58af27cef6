"""A wall clock of its own for one program: libfaketime, which leaves the other clocks alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from testbed.errors import BedError

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
BOOT_WITHOUT_BATTERY: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WallClock:
    """Runs with the machine's until it is set; `environment` is for the program's start."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_off(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set_off(self, seconds: float) -> None:
        """Set it, also while the program runs, to this long after the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+f}\n")
        new.replace(self._file)

    def set(self, moment: datetime) -> None:
        self.set_off(moment.timestamp() - time.time())


def why_not() -> str | None:
    """One sentence why no program can have a wall clock of its own here; None: it can."""
    try:
        _library()
    except BedError as error:
        return str(error)
    return None


def _library() -> Path:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        raise BedError("libfaketime is missing; run: apt-get install faketime")
    return found
