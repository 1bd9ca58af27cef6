"""What the gate puts into the kernel, by name: `rcd.gate.close` finds it by nothing else.

Imports Python's own library only, and so do its users on the way to `rcd-gate close`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

TABLE: Final = "rcd_gate"
"""The one table of the packet filter, of the family inet."""
PREFIX: Final = "rcg"
"""Every interface whose name starts like this is a tunnel to the outside."""
ALLOW_SETS: Final = tuple(
    f"{each}{version}" for each in ("ports", "hosts", "pings") for version in (4, 6)
)
"""The table's sets whose elements let packets through."""
FLOW_MARK: Final = 0x72636731
"""Mark of every tracked connection that a tunnel began."""

SYSCTL: Final = Path("/proc/sys/net")
_SWITCHES: Final = {4: "forwarding", 6: "force_forwarding"}


def forwarding_switch(version: int, interface: str) -> Path:
    """Where the kernel is told that packets which come in by `interface` may leave by another."""
    return SYSCTL / f"ipv{version}" / "conf" / interface / _SWITCHES[version]


def lent_set(version: int) -> str:
    """Name the set of interfaces for which the gate switched forwarding on."""
    return f"lent{version}"
