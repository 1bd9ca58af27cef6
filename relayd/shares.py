"""Who has had more of the loop's time than is due to it. Pure.

Due to each is its part of QUIET_SHARE, where all that have been read lately have equal parts. So
those who keep within it may go first: together they cannot take more than QUIET_SHARE of the time.
All time here is time in which the loop works: what it does not need is nobody's.
"""

from __future__ import annotations

from typing import Final

QUIET_SHARE: Final = 0.5
BURST_S: Final = 250e-6
"""What who was quiet may use at once: a dozen small messages."""
LATELY_S: Final = 0.05


class Account:
    """A token bucket of time; who is in debt is busy until that is paid."""

    __slots__ = ("counted_in", "is_busy", "left", "refilled_at")

    def __init__(self, now: float) -> None:
        self.left = BURST_S
        self.refilled_at = now
        self.is_busy = False
        self.counted_in = -1


class Shares:
    """All accounts of one loop."""

    def __init__(self, now: float) -> None:
        self._period = 0
        self._period_ends = now + LATELY_S
        self._counted = 0
        self._due = QUIET_SHARE
        """To each, of all time."""

    def charge(self, account: Account, seconds: float, now: float) -> None:
        """Account for time that was used until now."""
        if now >= self._period_ends:
            self._period += 1
            self._period_ends = now + LATELY_S
            self._due = QUIET_SHARE / max(1, self._counted)
            self._counted = 0
        if account.counted_in != self._period:
            account.counted_in = self._period
            self._counted += 1
        left = min(BURST_S, account.left + (now - account.refilled_at) * self._due) - seconds
        account.refilled_at = now
        if left >= 0:
            account.is_busy = False
        elif account.is_busy:
            # A transfer that is over is soon forgotten, however long it was.
            left = max(left, -BURST_S)
        else:
            account.is_busy = True
            left = -BURST_S
        account.left = left
