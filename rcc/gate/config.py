"""client-gate.toml: who may have tunnels on this computer."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_service import GateConfig

if TYPE_CHECKING:
    from rclib.tunnel.gate_plan import IPNetwork

DEFAULT_PATH: Final = Path("/etc/remoteconnect/client-gate.toml")


class RccGateConfig(GateConfig, frozen=True, kw_only=True):
    """What the client's privileged half may do; `allowed_users` are the technicians."""

    socket: str = "/run/remoteconnect/rcc-gate/gate.sock"
    own_networks: tuple[str, ...] = ()
    """Networks that are never led into a tunnel, besides those this computer is seen to be in: the
    company's, behind its router. A device with such an address is reached by its virtual one."""

    def __post_init__(self) -> None:
        _ = self.networks

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.own_networks)
