"""The technician's end of tunnels: routes to the released addresses and to nothing else."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from rcc.gate import protection
from rclib.tunnel.gate_addresses import check_link_addresses, check_routable
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_nft import Table
from rclib.tunnel.gate_sysctl import limit_ipv6
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.gate_plan import IPNetwork, TunnelPlan
    from rclib.wire.ids import SessionId


class TechnicianEnd:
    """Implements `rclib.tunnel.gate_sessions.GateEnd`."""

    prefix = protection.PREFIX
    lifetime_s: float | None = None
    """The gateway's kernel decides how long a session lives; here the connection does."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._table = Table(protection.TABLE)

    def admit(self, plan: TunnelPlan) -> None:
        for target in plan.targets:
            if target.is_loopback or target.is_multicast or target.is_unspecified:
                raise GateRefused(GateError.FORBIDDEN_ADDRESS, f"{target} is no device")
        own, routes = self._netlink.addresses(), self._netlink.routes()
        check_link_addresses(plan, own, routes)
        check_routable(plan.targets, own, routes)

    def allowed(self, plan: TunnelPlan) -> tuple[IPNetwork, ...]:
        peers = (plan.peer_address(version) for version in plan.versions)
        return tuple(ipaddress.ip_network(address) for address in (*peers, *plan.targets))

    def install(self) -> None:
        self.sweep()
        self._table.install(protection.table())

    def permit(self, plan: TunnelPlan) -> None:
        """Nothing to add: replies pass by the rules that hold for all sessions."""

    def forbid(self, plan: TunnelPlan) -> None:
        for version in plan.versions:
            self._netlink.forget_flows(plan.local_address(version))

    def attach(self, plan: TunnelPlan) -> None:
        limit_ipv6(plan.interface, plan.versions)

    def route(self, plan: TunnelPlan) -> None:
        for target in plan.targets:
            source = plan.local_address(target.version)
            self._netlink.add_route(plan.interface, target, source)

    def renew(self, _plans: Iterable[TunnelPlan], /) -> frozenset[SessionId]:
        """Nothing expires here."""
        return frozenset()

    def inspect(self, _plans: Iterable[TunnelPlan], /) -> str | None:
        return self._table.difference({}, frozenset())

    def guard(self) -> str | None:
        """A computer may forward what it likes; tunnels are not forwarded to while one is open."""
        return None

    def sweep(self) -> None:
        """Remove the tunnels, and with them their addresses and routes, then the rules."""
        for interface in self._netlink.links(self.prefix):
            self._netlink.delete_link(interface)
        self._table.remove()
