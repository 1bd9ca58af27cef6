"""The machine's own addresses and routes, and whether a tunnel would get in their way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rclib.tunnel.gate_plan import IPInterface, IPNetwork, TunnelPlan
    from rclib.wire.session import IPAddress


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One address of this machine."""

    interface: str
    address: IPInterface


@dataclass(frozen=True, slots=True)
class LocalRoute:
    """One way out of this machine; no default route, and not to the machine itself."""

    interface: str
    network: IPNetwork


def check_link_addresses(
    plan: TunnelPlan, own: Iterable[LocalAddress], routes: Iterable[LocalRoute]
) -> None:
    """Refuse link addresses this machine uses elsewhere, as behind carrier-grade NAT."""
    places = tuple(_places(own, routes))
    for version in plan.versions:
        for address in (plan.local_address(version), plan.peer_address(version)):
            for interface, network in places:
                if address in network:
                    raise GateRefused(
                        GateError.ADDRESS_IN_USE,
                        f"link address {address} lies in {network}, which this machine reaches by "
                        f"{interface}; start the session again to be given another one",
                    )


def check_routable(
    targets: Iterable[IPAddress], own: Iterable[LocalAddress], routes: Iterable[LocalRoute]
) -> None:
    """Refuse targets this machine already reaches, or is, outside the tunnel."""
    places = tuple(_places(own, routes))
    for target in targets:
        for interface, network in places:
            if target in network:
                raise GateRefused(
                    GateError.ADDRESS_IN_USE,
                    f"the device's address {target} also belongs to {network}, which this "
                    f"computer reaches by {interface}; leave that network, or have the device "
                    "released under a virtual address",
                )


def _places(
    own: Iterable[LocalAddress], routes: Iterable[LocalRoute]
) -> Iterator[tuple[str, IPNetwork]]:
    yield from ((each.interface, each.address.network) for each in own)
    yield from ((each.interface, each.network) for each in routes)
