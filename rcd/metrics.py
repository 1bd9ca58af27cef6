"""Every metric of rcd, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from rcd.sessions import State
from rclib.tunnel.tunnel_end import DROP_PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from rcd.daemon import Daemon
    from rclib.tunnel.tunnel_end import Drops


class DropCollector(Collector):
    """Reads what the tunnels have dropped when somebody asks for it."""

    def __init__(self, drops: Callable[[], Drops], registry: CollectorRegistry) -> None:
        self._drops = drops
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Every place from the start, all sessions together."""
        dropped = self._drops()
        family = CounterMetricFamily(
            "rcd_tunnel_drops", "What the tunnels dropped, by place.", labels=["place"]
        )
        for place in DROP_PLACES:
            family.add_metric([place], dropped[place])
        yield family


class Metrics:
    """Set from the daemon's state after each change."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sessions = Gauge("rcd_sessions", "Sessions by state.", ["state"], registry=registry)
        self._access = Gauge("rcd_access_on", "1 while remote access is ON.", registry=registry)
        self._gate = Gauge("rcd_gate_ready", "1 while rcd-gate answers.", registry=registry)
        self._record = Gauge(
            "rcd_record_fault", "1 while the audit spool takes no events.", registry=registry
        )
        for state in State:
            self._sessions.labels(state.value)

    def show(self, daemon: Daemon, *, record_fault: bool) -> None:
        for state in State:
            count = sum(session.state is state for session in daemon.sessions.open)
            self._sessions.labels(state.value).set(count)
        self._access.set(daemon.is_on)
        self._gate.set(daemon.gate.is_ready)
        self._record.set(record_fault)
