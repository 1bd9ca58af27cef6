"""How often a password may be tried: pure; wall-clock time in, so that it survives a restart."""

from __future__ import annotations

from typing import Final

import msgspec

PER_ADDRESS: Final = 5
PER_ADDRESS_S: Final = 60
TOTAL: Final = 20
TOTAL_S: Final = 3600


class Failures(msgspec.Struct):
    """Failed tries of the last hour: (UTC seconds, address)."""

    tries: list[tuple[float, str]] = []

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0: now."""
        self._forget(now)
        here = [at for at, source in self.tries if source == address]
        waits = [0.0]
        if len(here) >= PER_ADDRESS:
            waits.append(here[-PER_ADDRESS] + PER_ADDRESS_S - now)
        if len(self.tries) >= TOTAL:
            waits.append(self.tries[-TOTAL][0] + TOTAL_S - now)
        return max(waits)

    def failed(self, address: str, now: float) -> None:
        self._forget(now)
        self.tries.append((now, address))

    def succeeded(self, address: str) -> None:
        """The owner is not held up by their own typing errors."""
        self.tries = [(at, source) for at, source in self.tries if source != address]

    def _forget(self, now: float) -> None:
        # A clock set back must not keep anybody out for longer than the window.
        self.tries = [(at, s) for at, s in self.tries if now - TOTAL_S < at <= now]
