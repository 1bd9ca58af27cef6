"""The machine's own addresses and routes, and whether a tunnel would get in their way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from rclib.tunnel.gate_plan import Device, IPInterface, IPNetwork, TunnelPlan
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


def free_addresses(
    devices: Iterable[Device], own: Iterable[LocalAddress], routes: Iterable[LocalRoute]
) -> tuple[IPAddress, ...]:
    """Return the devices' addresses that mean nothing else on this machine.

    A real address and a virtual one may both be free, and then both are good.
    """
    places = tuple(network for _, network in _places(own, routes))
    names = dict.fromkeys(name for device in devices for name in names_of(device))
    return tuple(name for name in names if not any(name in place for place in places))


def names_of(device: Device) -> tuple[IPAddress, ...]:
    """Return the addresses a device could be reached by, the better one first."""
    return (device.address, *((device.virtual,) if device.virtual is not None else ()))


def reach_of(device: Device, routed: Collection[IPAddress]) -> IPAddress | None:
    """Return the address to reach a device by, of those that lead into the tunnel."""
    return next((name for name in names_of(device) if name in routed), None)


def check_reachable(
    devices: Iterable[Device],
    routed: Collection[IPAddress],
    own: Iterable[LocalAddress],
    routes: Iterable[LocalRoute],
) -> None:
    """Refuse a session with a device that no address leads to, and say what is in the way."""
    for device in devices:
        if reach_of(device, routed) is not None:
            continue
        in_the_way = ", ".join(
            f"{name} is in {network} ({interface})"
            for interface, network in _places(own, routes)
            for name in names_of(device)
            if name in network
        )
        raise GateRefused(
            GateError.ADDRESS_IN_USE,
            f"the device {device.address} cannot be reached from this computer: {in_the_way}; "
            "leave that network, or end the session that has the device already",
        )


def _places(
    own: Iterable[LocalAddress], routes: Iterable[LocalRoute]
) -> Iterator[tuple[str, IPNetwork]]:
    yield from ((each.interface, each.address.network) for each in own)
    yield from ((each.interface, each.network) for each in routes)
