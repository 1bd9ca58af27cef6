"""The plant's switch: whether the gateway takes part in remote access at all.

The state belongs to rcd and ships OFF. ON_UNTIL counts on the boot clock and ends with a
reboot, so that neither a wrong wall clock nor a power cut can lengthen it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json

MAX_ON_S = 7 * 24 * 3600
"""Longest timed activation; who needs more chooses ON and is shown as such."""


class AccessMode(StrEnum):
    """OFF is what an unreadable state means, too."""

    OFF = "off"
    ON = "on"
    ON_UNTIL = "on_until"


class AccessState(Struct, frozen=True):
    """What rcd keeps on disk."""

    mode: AccessMode = AccessMode.OFF
    changed_by: Annotated[str, msgspec.Meta(max_length=80)] = ""
    changed_ms: int = 0
    """UTC, for people."""
    until_ms: int | None = None
    """UTC, for people; the boot clock decides."""
    until_boot_s: float | None = None
    """CLOCK_BOOTTIME."""
    boot_id: str | None = None
    """The boot in which `until_boot_s` counts."""

    def is_on(self, boot_s: float, boot_id: str) -> bool:
        """Whether access is on at the boot-clock time `boot_s` of the boot `boot_id`."""
        if self.mode is AccessMode.ON:
            return True
        remaining = self.remaining_s(boot_s, boot_id)
        return remaining is not None and remaining > 0

    def remaining_s(self, boot_s: float, boot_id: str) -> float | None:
        """Seconds left of ON_UNTIL (0 when over); None in the other modes."""
        if self.mode is not AccessMode.ON_UNTIL:
            return None
        if self.until_boot_s is None or self.boot_id != boot_id or not boot_id:
            return 0.0
        # A state with a deadline beyond what can be set is damaged, and damaged is OFF.
        remaining = self.until_boot_s - boot_s
        return remaining if 0 < remaining <= MAX_ON_S else 0.0


OFF = AccessState()


_state_decoder: Final = msgspec.json.Decoder(AccessState)


def decode_access_state(data: bytes) -> AccessState:
    """Read a stored state; the caller turns a DecodeError into OFF and says so."""
    return decode_json(_state_decoder, "access state", data)


def encode_access_state(state: AccessState) -> bytes:
    return msgspec.json.encode(state)
