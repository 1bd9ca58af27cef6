"""gate.toml, the plant's outer bound: what no grant from outside can widen."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rcd.gate.policy import check_plant_network
from rclib.tunnel.gate_service import GateConfig

if TYPE_CHECKING:
    from rclib.tunnel.gate_plan import IPNetwork

DEFAULT_PATH: Final = Path("/etc/remoteconnect/gate.toml")


class RcdGateConfig(GateConfig, frozen=True, kw_only=True):
    """What the gateway's privileged half may do."""

    socket: str = "/run/remoteconnect/rcd-gate/gate.sock"
    allowed_users: tuple[str, ...] = ("rcd",)
    plant_networks: tuple[str, ...]
    """Networks with machines that may be released. Everything else is out of reach."""
    plant_interfaces: tuple[str, ...] = ()
    """Interfaces by which machines are reached; none: wherever the gateway's routes lead."""
    routes_for_plant: bool = False
    """This gateway is also a router of its plant: its own IP forwarding is left as it is."""
    source_nat: bool = True
    """Machines see the gateway's own address; otherwise they need a route to 100.64.0.0/11."""

    def __post_init__(self) -> None:
        for network in self.networks:
            check_plant_network(network)

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.plant_networks)
