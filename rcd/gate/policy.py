"""What no grant can reach, whoever signed it: the plant's own outer bound. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_plan import IPV4, LINK_NETWORK_V6
from rclib.wire.gate import GateError
from rclib.wire.session import TUNNEL_NETWORK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rclib.tunnel.gate_addresses import LocalAddress
    from rclib.tunnel.gate_plan import IPNetwork
    from rclib.wire.session import IPAddress


def check_plant_network(network: IPNetwork) -> None:
    """Refuse an outer bound that bounds nothing; ValueError says why."""
    if network.prefixlen == 0:
        raise ValueError(f"{network} is every address there is; name the machines' networks")
    for inside in (TUNNEL_NETWORK, LINK_NETWORK_V6):
        if network.version == inside.version and network.overlaps(inside):
            raise ValueError(f"{network} overlaps {inside}, which tunnels use inside")
    if network.is_multicast or network.is_loopback or network.is_link_local:
        raise ValueError(f"{network} cannot hold machines: it is multicast, loopback or link-local")


def check_targets(
    targets: Iterable[IPAddress],
    plant_networks: Collection[IPNetwork],
    own: Collection[LocalAddress],
) -> None:
    """Refuse a target that is not a machine inside the plant. Raises GateRefused."""
    for target in targets:
        kind = _special(target)
        if kind is not None:
            raise _forbidden(target, kind)
        if any(target == each.address.ip for each in own):
            raise _forbidden(target, "is an address of the gateway itself")
        networks = [network for network in plant_networks if target in network]
        if not networks:
            allowed = ", ".join(str(network) for network in plant_networks) or "none"
            raise GateRefused(
                GateError.OUTSIDE_PLANT_NETWORKS,
                f"{target} is outside the plant's networks ({allowed}); what sessions may reach "
                "is decided on the gateway, by plant_networks in gate.toml",
            )
        on_link = [each.address.network for each in own if target in each.address.network]
        for network in (*networks, *on_link):
            if _names_all_of(network, target):
                raise _forbidden(
                    target, f"is no machine but the network {network} or its broadcast"
                )


def _special(address: IPAddress) -> str | None:
    kinds = (
        (getattr(address, "ipv4_mapped", None) is not None, "is an IPv4 address in disguise"),
        (address.is_unspecified, "is the unspecified address"),
        (address.is_loopback, "is a loopback address"),
        (address.is_link_local, "is a link-local address"),
        (address.is_multicast, "is a multicast address"),
        (address == ipaddress.IPv4Address("255.255.255.255"), "is the broadcast address"),
        (address.is_reserved, "is a reserved address"),
        (
            address in TUNNEL_NETWORK or address in LINK_NETWORK_V6,
            "belongs to the inside of tunnels",
        ),
    )
    return next((kind for applies, kind in kinds if applies), None)


def _names_all_of(network: IPNetwork, address: IPAddress) -> bool:
    # RFC 3021, RFC 6164: the two addresses of a point-to-point link are both machines.
    if network.num_addresses <= 2:  # noqa: PLR2004 -- both ends
        return False
    # IPv6 has no broadcast; its first address is every router of the network (RFC 4291 §2.6.1).
    ends = {network.network_address}
    if network.version == IPV4:
        ends.add(network.broadcast_address)
    return address in ends


def _forbidden(address: IPAddress, why: str) -> GateRefused:
    return GateRefused(GateError.FORBIDDEN_ADDRESS, f"{address} {why}; no session can reach it")
