"""Bars of an inline SVG: how much passed to and from each machine. Pure.

Widths are percentages, so that a chart fits every screen and its words keep their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controld.api_flows import FlowView

FULL: Final = 72.0
"""Percent of the widest bar; the rest is for the number behind it."""
LEAST: Final = 0.4
"""Percent of a bar that is not nothing."""
MAX_LABEL: Final = 34
"""Characters that fit on a phone."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What passed at one machine, and how wide its two bars are (percent)."""

    device: str
    address: str
    to_bytes: int
    from_bytes: int
    to_width: float
    from_width: float
    last_ms: int | None

    @property
    def label(self) -> str:
        name = self.device or self.address
        return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"


def bars_of(flows: Iterable[FlowView]) -> list[Bar]:
    """One for each machine, over all its sessions, the busiest first."""
    totals: dict[str, tuple[str, int, int, int]] = {}
    for flow in flows:
        device, to_bytes, from_bytes, last = totals.get(flow.address, (flow.device, 0, 0, 0))
        totals[flow.address] = (
            device,
            to_bytes + flow.to_bytes,
            from_bytes + flow.from_bytes,
            max(last, flow.last_ms or 0),
        )
    widest = max((max(to, from_) for _, to, from_, _ in totals.values()), default=0)
    bars = [
        Bar(device, address, to, from_, _width(to, widest), _width(from_, widest), last or None)
        for address, (device, to, from_, last) in totals.items()
    ]
    return sorted(bars, key=lambda bar: (-bar.to_bytes - bar.from_bytes, bar.address))


def _width(count: int, widest: int) -> float:
    return round(max(LEAST, FULL * count / widest), 2) if count else 0.0
