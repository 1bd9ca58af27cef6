"""Every metric of stund, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from stund.lane import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from stund.arena import Arena

DATAGRAMS: Final = "stund_datagrams"
RECEIVE_DROPS: Final = "stund_receive_drops"
WORKER_RESTARTS: Final = "stund_worker_restarts"


class ArenaCollector(Collector):
    """Reads what the workers have counted when somebody asks for it."""

    def __init__(self, arena: Arena, registry: CollectorRegistry) -> None:
        self._arena = arena
        self.worker_restarts = 0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the current values of all workers together."""
        datagrams = CounterMetricFamily(
            DATAGRAMS, "Datagrams read, by what became of them", labels=["outcome"]
        )
        for outcome, count in zip(OUTCOMES, self._arena.counts.tolist(), strict=True):
            datagrams.add_metric([outcome.value], count)
        yield datagrams
        yield CounterMetricFamily(
            RECEIVE_DROPS,
            "Datagrams the kernel dropped unread because a receive queue was full",
            value=self._arena.drops,
        )
        yield CounterMetricFamily(
            WORKER_RESTARTS,
            "Workers started anew after they ended or hung",
            value=self.worker_restarts,
        )
