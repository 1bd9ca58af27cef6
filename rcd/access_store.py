"""The plant's switch on disk. Ships OFF; whatever cannot be read or written is OFF."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rclib.runtime.files import read_bounded, write_atomic
from rclib.wire.access import (
    OFF,
    AccessMode,
    AccessState,
    decode_access_state,
    encode_access_state,
)

BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"
MAX_FILE_BYTES: Final = 4096


def boot_id() -> str:
    """Name the running boot."""
    return Path(BOOT_ID_FILE).read_text().strip()


class AccessStore:
    """Holds the state and its file together; `boot_id` names the running boot."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._state = OFF
        self.damage = ""
        """Why the stored state was not taken; empty if it was."""
        try:
            self._state = decode_access_state(read_bounded(path, MAX_FILE_BYTES))
        except FileNotFoundError:
            pass  # the state as delivered
        except (OSError, ValueError) as exc:
            self.damage = str(exc)

    @property
    def state(self) -> AccessState:
        return self._state

    def is_on(self, boot_s: float) -> bool:
        return self._state.is_on(boot_s, self._boot_id)

    def remaining_s(self, boot_s: float) -> float | None:
        return self._state.remaining_s(boot_s, self._boot_id)

    def turn_on(self, duration_s: int | None, by: str, boot_s: float, wall_ms: int) -> None:
        """ON, or ON_UNTIL for `duration_s`; raises OSError, and then nothing has changed."""
        if duration_s is None:
            state = AccessState(AccessMode.ON, by, wall_ms)
        else:
            state = AccessState(
                AccessMode.ON_UNTIL,
                by,
                wall_ms,
                wall_ms + duration_s * 1000,
                boot_s + duration_s,
                self._boot_id,
            )
        write_atomic(self._path, encode_access_state(state))
        self._state = state

    def turn_off(self, by: str, wall_ms: int) -> None:
        """OFF, in memory at once. Raises OSError if a restart would find the old state."""
        self._state = AccessState(AccessMode.OFF, by, wall_ms)
        try:
            write_atomic(self._path, encode_access_state(self._state))
        except OSError:
            # A full disk still lets a file be removed, and no file is OFF as well.
            self._path.unlink(missing_ok=True)
