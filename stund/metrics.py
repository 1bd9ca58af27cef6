"""Every metric of stund, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter

from stund.responder import Outcome

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def outcome_counters(registry: CollectorRegistry) -> dict[Outcome, Counter]:
    datagrams = Counter("stund_datagrams", "Datagrams by outcome.", ["outcome"], registry=registry)
    return {outcome: datagrams.labels(outcome.value) for outcome in Outcome}
