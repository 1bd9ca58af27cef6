"""In which region a session's relays are. Pure: what the gateway has measured in, a name out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rclib.wire.control import RegionRtt

FRESH_S: Final = 3600.0
"""Older measurements say nothing about today's way."""
BETTER_MS: Final = 10.0
BETTER_SHARE: Final = 0.2
"""Another region has to be nearer by both, or the one of the last session stays."""


def choose(
    regions: Sequence[str], measured: Sequence[RegionRtt], *, pinned: str = "", last: str = ""
) -> str:
    """The region for the next session of a gateway; the first of `regions` if nothing is known.

    `regions` are the configured ones in their order; `last` is that of the gateway's last session.
    """
    if pinned in regions:
        return pinned
    near = {
        each.region: each.rtt_ms
        for each in measured
        if each.region in regions and each.age_s <= FRESH_S
    }
    if not near:
        return regions[0]
    nearest = min(near, key=lambda region: (near[region], regions.index(region)))
    if last in near:
        gain = near[last] - near[nearest]
        if gain < max(BETTER_MS, BETTER_SHARE * near[last]):
            return last
    return nearest
