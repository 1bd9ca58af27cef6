"""One timer for any number of legs: deadlines in slots, so that arming costs no search. Pure."""

from __future__ import annotations

import math
from typing import Final, Generic, TypeVar

K = TypeVar("K")

SLOT_S: Final = 0.25


class TimerWheel(Generic[K]):
    """At most one deadline per key; none is reported early, none later than one slot."""

    def __init__(self, slot_s: float = SLOT_S) -> None:
        self._slot_s = slot_s
        self._slots: dict[int, set[K]] = {}
        self._slot_of: dict[K, int] = {}

    def arm(self, key: K, at: float) -> None:
        """Report `key` at `at`, or earlier if it is armed for an earlier time already."""
        slot = math.ceil(at / self._slot_s)
        armed = self._slot_of.get(key)
        if armed is not None:
            if armed <= slot:
                return
            self._take_out(key, armed)
        self._slot_of[key] = slot
        self._slots.setdefault(slot, set()).add(key)

    def disarm(self, key: K) -> None:
        """Forget a key; unknown ones are fine."""
        slot = self._slot_of.pop(key, None)
        if slot is not None:
            self._take_out(key, slot)

    def expired(self, now: float) -> list[K]:
        """Take out every key whose time has come, earliest slot first."""
        due = sorted(slot for slot in self._slots if slot * self._slot_s <= now)
        keys = [key for slot in due for key in self._slots.pop(slot)]
        for key in keys:
            del self._slot_of[key]
        return keys

    @property
    def deadline(self) -> float | None:
        """When `expired` has something to report."""
        return min(self._slots) * self._slot_s if self._slots else None

    def __len__(self) -> int:
        return len(self._slot_of)

    def _take_out(self, key: K, slot: int) -> None:
        keys = self._slots[slot]
        keys.discard(key)
        if not keys:
            del self._slots[slot]
