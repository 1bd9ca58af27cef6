"""The technician's end of tunnels: routes to the released addresses and to nothing else.

Every device has two names, its real address and a virtual one. Whatever this computer itself, one
of its networks or another session uses already is not led into the tunnel, also not later on.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from rcc.gate import protection
from rclib.tunnel.gate_addresses import (
    LocalRoute,
    check_link_addresses,
    check_reachable,
    free_addresses,
    reach_of,
)
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_generation import Generation
from rclib.tunnel.gate_nft import Table, check
from rclib.tunnel.gate_sysctl import limit_ipv6
from rclib.wire.gate import Flows, GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_addresses import LocalAddress
    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.gate_plan import IPNetwork, TunnelPlan
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IPAddress

CONFIGURED: Final = "own_networks in client-gate.toml"


class TechnicianEnd:
    """Implements `rclib.tunnel.gate_end.GateEnd`."""

    prefix = protection.PREFIX
    lifetime_s: float | None = None
    """The gateway's kernel decides how long a session lives; here the connection does."""

    def __init__(self, netlink: Netlink, *, own_networks: tuple[IPNetwork, ...] = ()) -> None:
        self._netlink = netlink
        self._own_networks = tuple(LocalRoute(CONFIGURED, network) for network in own_networks)
        self._table = Table(protection.TABLE)
        self._generation = Generation()
        # Which addresses of devices lead into the tunnel, by session.
        self._routed: dict[SessionId, tuple[IPAddress, ...]] = {}

    def rehearse(self) -> None:
        check(protection.table())

    def admit(self, plan: TunnelPlan) -> None:
        for target in plan.targets:
            if target.is_loopback or target.is_multicast or target.is_unspecified:
                raise GateRefused(GateError.FORBIDDEN_ADDRESS, f"{target} is no device")
        own, routes = self._places(plan)
        check_link_addresses(plan, own, routes)
        routed = free_addresses(plan.devices, own, routes)
        check_reachable(plan.devices, routed, own, routes)
        self._routed[plan.session] = routed

    def allowed(self, plan: TunnelPlan) -> tuple[IPNetwork, ...]:
        peers = (plan.peer_address(version) for version in plan.versions)
        routed = self._routed[plan.session]
        return tuple(ipaddress.ip_network(address) for address in (*peers, *routed))

    def flows(self, session: SessionId) -> Flows:
        """Count nothing: what passes is on the plant's record."""
        return Flows(session)

    def reach(self, plan: TunnelPlan) -> tuple[IPAddress | None, ...]:
        routed = self._routed[plan.session]
        return tuple(reach_of(device, routed) for device in plan.devices)

    def install(self) -> None:
        self._generation = Generation()
        self._table.install(protection.table())

    def permit(self, plan: TunnelPlan) -> None:
        """Nothing to add: replies pass by the rules that hold for all sessions."""

    def forbid(self, plan: TunnelPlan) -> None:
        for version in plan.versions:
            self._netlink.forget_flows(plan.local_address(version))
        self._routed.pop(plan.session, None)

    def attach(self, plan: TunnelPlan) -> None:
        limit_ipv6(plan.interface, plan.versions)

    def route(self, plan: TunnelPlan) -> None:
        for address in self._routed[plan.session]:
            source = plan.local_address(address.version)
            self._netlink.add_route(plan.interface, address, source)

    def renew(self, _plans: Iterable[TunnelPlan], /) -> frozenset[SessionId]:
        """Nothing expires here."""
        return frozenset()

    def inspect(self, plans: Iterable[TunnelPlan], /) -> str | None:
        for plan in plans:
            self._give_way(plan)
        if not self._generation.wants_a_look():
            return None
        return self._table.difference(self._table.read(), {})

    def guard(self) -> str | None:
        """A computer may forward what it likes; tunnels are not forwarded to while one is open."""
        return None

    def sweep(self) -> None:
        """Remove the tunnels, and with them their addresses and routes, then the rules."""
        for interface in self._netlink.links(self.prefix):
            self._netlink.delete_link(interface)
        self._table.remove()

    def _give_way(self, plan: TunnelPlan) -> None:
        """Take back what this computer's networks have come to use since the session began.

        Its own neighbours stay its neighbours; the device is still reached by its virtual address.
        """
        routed = self._routed[plan.session]
        free = free_addresses(plan.devices, *self._places(plan))
        for address in routed:
            if address not in free:
                self._netlink.delete_route(plan.interface, address)
        self._routed[plan.session] = tuple(address for address in routed if address in free)

    def _places(self, plan: TunnelPlan) -> tuple[list[LocalAddress], list[LocalRoute]]:
        """Where this computer's packets go without the plan's own tunnel."""
        own = [each for each in self._netlink.addresses() if each.interface != plan.interface]
        routes = [each for each in self._netlink.routes() if each.interface != plan.interface]
        return own, [*routes, *self._own_networks]
