"""Whether a process does its work: a pure record that /healthz and the watchdog read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STALE_AFTER_S: Final = 20.0
"""How long a report counts: WatchdogSec= of the units."""


class HealthState(StrEnum):
    """What /healthz says."""

    STARTING = "starting"
    OK = "ok"
    STALE = "stale"  # the task whose life matters has not reported in time
    STOPPING = "stopping"


@dataclass(slots=True)
class Health:
    """Collects what the tasks of a process report about it; times in boottime seconds."""

    stale_after_s: float
    text: str = ""
    ready: bool = False
    stopping: bool = False
    reported_at: float | None = None

    def state(self, now: float) -> HealthState:
        """Judge the process now. A process that never reports is judged by readiness alone."""
        if self.stopping:
            return HealthState.STOPPING
        if not self.ready:
            return HealthState.STARTING
        if self.reported_at is not None and now - self.reported_at > self.stale_after_s:
            return HealthState.STALE
        return HealthState.OK
