"""Every metric of relayd, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from rclib.wire.relay import CloseReason
from relayd.send_queue import DropReason

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Metrics:
    """Closed sets have a counter for every member from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.legs = Gauge("relayd_legs", "Connections, admitted or not.", registry=registry)
        self.channels = Gauge("relayd_channels", "Channels with a leg.", registry=registry)
        self.bytes = Counter("relayd_relayed_bytes", "DATA and SIGNAL.", registry=registry)
        self._dropped = Counter(
            "relayd_dropped_messages", "Messages not passed on.", ["reason"], registry=registry
        )
        self._closed = Counter(
            "relayd_closed_legs", "Legs the relay closed.", ["reason"], registry=registry
        )
        self.dropped = {r: self._dropped.labels(r.value) for r in DropReason}
        self.closed = {r: self._closed.labels(r.name.lower()) for r in CloseReason}
