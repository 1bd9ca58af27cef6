"""Every metric of controld, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Metrics:
    """The counters and gauges; created at start, so that all of them are there from the first."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.links = Gauge("controld_links", "Open control links", ["kind"], registry=registry)
        for kind in ("gateway", "client"):
            self.links.labels(kind).set(0)
        self.links_refused = Counter(
            "controld_links_refused", "Control links refused", ["reason"], registry=registry
        )
        self.messages = Counter(
            "controld_messages_handled", "Link messages handled", ["type"], registry=registry
        )
        self.requests = Counter(
            "controld_requests", "API requests answered", ["status"], registry=registry
        )
        self.sessions_open = Gauge(
            "controld_sessions_open", "Sessions by state", ["state"], registry=registry
        )
        self.logins_failed = Counter(
            "controld_logins_failed", "Logins refused", ["reason"], registry=registry
        )
