"""Every metric of relayd, once. Closed sets have a counter for each member from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from rclib.wire.relay import CloseReason
from relayd.reasons import DropReason, RefusedAccept

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Metrics:
    """What /metrics shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.legs = Gauge("relayd_legs", "Admitted legs.", registry=registry)
        self.pending = Gauge(
            "relayd_pending_connections", "Connections not admitted yet.", registry=registry
        )
        self.channels = Gauge("relayd_channels", "Channels with a leg.", registry=registry)
        self.relayed_bytes = Counter(
            "relayd_relayed_bytes", "Bytes of messages passed on.", registry=registry
        )
        self.relayed_messages = Counter(
            "relayd_relayed_messages", "Messages passed on.", registry=registry
        )
        dropped = Counter(
            "relayd_dropped_messages", "Messages not passed on.", ["reason"], registry=registry
        )
        closed = Counter(
            "relayd_closed_legs", "Legs the relay closed.", ["reason"], registry=registry
        )
        refused = Counter(
            "relayd_refused_accepts",
            "Connections closed before anything was read.",
            ["reason"],
            registry=registry,
        )
        self.dropped = {reason: dropped.labels(reason.value) for reason in DropReason}
        self.closed = {reason: closed.labels(reason.name.lower()) for reason in CloseReason}
        self.refused = {reason: refused.labels(reason.value) for reason in RefusedAccept}
