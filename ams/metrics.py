"""Every metric of ams, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from ams.door import Knock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Metrics:
    """What /metrics shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "ams_requests", "Requests answered, by status code.", ["code"], registry=registry
        )
        knocks = Counter("ams_logins", "Tried passwords.", ["outcome"], registry=registry)
        self.knocks = {each: knocks.labels(outcome=each.value) for each in Knock}
        self.rcd_up = Gauge("ams_rcd_up", "Whether rcd answered last time.", registry=registry)
