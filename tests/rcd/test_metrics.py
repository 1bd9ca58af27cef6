"""What operators see of the tunnels' losses."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from rcd.metrics import DropCollector
from rclib.tunnel.tunnel_end import DROP_PLACES, Drops


def test_every_place_where_packets_are_dropped_is_counted_from_the_start() -> None:
    registry = CollectorRegistry()
    drops = Drops()
    DropCollector(lambda: drops, registry)

    def shown(place: str) -> float | None:
        return registry.get_sample_value("rcd_tunnel_drops_total", {"place": place})

    assert {place: shown(place) for place in DROP_PLACES} == dict.fromkeys(DROP_PLACES, 0)
    drops["kernel"] += 7
    assert shown("kernel") == 7
