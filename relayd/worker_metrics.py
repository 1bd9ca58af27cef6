"""The workers' metrics as one relay's: what counts up stays counted when a worker ends. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

PREFIX: Final = "relayd_"
_CREATED: Final = "_created"

_Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Family, sample, labels."""


class WorkerMetrics(Collector):
    """Sums what each worker reported last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.restarts = 0
        self._families: dict[str, Metric] = {}
        self._living: dict[int, Counter[_Key]] = {}
        self._ended: Counter[_Key] = Counter()
        registry.register(self)

    def reported(self, index: int, exposition: str) -> None:
        """Take a worker's own page of metrics."""
        values: Counter[_Key] = Counter()
        for family in text_string_to_metric_families(exposition):
            if not family.name.startswith(PREFIX) or family.name.endswith(_CREATED):
                continue
            self._families[family.name] = family
            for sample in family.samples:
                key = family.name, sample.name, tuple(sorted(sample.labels.items()))
                values[key] = sample.value  # type: ignore[assignment] # a Counter sums floats, too
        self._living[index] = values

    def ended(self, index: int) -> None:
        """Keep what an ended worker has counted, and forget what it had open."""
        last = self._living.pop(index, Counter())
        counted = {key: v for key, v in last.items() if self._families[key[0]].type == "counter"}
        self._ended.update(counted)

    def collect(self) -> Iterator[Metric]:
        """Yield the sums of all workers."""
        total = Counter(self._ended)
        for values in self._living.values():
            total.update(values)
        for name, family in self._families.items():
            family.samples = [
                Sample(sample, dict(labels), value)
                for (of, sample, labels), value in total.items()
                if of == name
            ]
            yield family
        yield CounterMetricFamily(
            f"{PREFIX}worker_restarts", "Workers started anew after they ended.", self.restarts
        )
