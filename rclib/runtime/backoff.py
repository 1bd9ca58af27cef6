"""How long to wait before the next attempt."""

from __future__ import annotations


class FullJitter:
    """Exponential backoff of which a random share is waited.

    Every delay is drawn from the whole range from zero to the current ceiling. A
    thousand gateways that lost the same relay in the same instant come back spread
    over the range, not in waves.
    """

    def __init__(self, base_s: float, cap_s: float) -> None:
        if not 0 < base_s <= cap_s:
            raise ValueError(f"backoff needs 0 < base <= cap, got base {base_s} and cap {cap_s}")
        self._base_s = base_s
        self._cap_s = cap_s
        self._ceiling_s = base_s

    def next(self, random01: float) -> float:
        """Return the seconds to wait now; `random01` is a fresh draw from [0, 1]."""
        if not 0 <= random01 <= 1:
            raise ValueError(f"random01 lies in [0, 1], got {random01}")
        delay_s = self._ceiling_s * random01
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        return delay_s

    def reset(self) -> None:
        """Start over after an attempt that held."""
        self._ceiling_s = self._base_s
