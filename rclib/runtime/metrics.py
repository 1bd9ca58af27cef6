"""The metrics every process has; those of its own work stand in each daemon's metrics.py."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector


def new_registry(program: str, version: str) -> CollectorRegistry:
    """Make the registry of a process: CPU, memory, open files, and which build it is.

    One per process instead of the library's global one, so that tests can run several
    services in a process without meeting each other's counters.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge(
        "remoteconnect_build_info",
        "Always 1; the labels tell which program and version this is",
        ["program", "version"],
        registry=registry,
    )
    build.labels(program=program, version=version).set(1)
    return registry


def exposition(registry: CollectorRegistry) -> tuple[bytes, str]:
    """Return the body of /metrics and its content type."""
    body = prometheus_client.generate_latest(registry)
    return body, prometheus_client.CONTENT_TYPE_LATEST
