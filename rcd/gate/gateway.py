"""The gateway's end of tunnels: the packet filter, forwarding and what may be reached at all."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING

from rcd.gate import confinement, forwarding
from rcd.gate.policy import check_targets
from rclib.tunnel.gate_addresses import check_link_addresses
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_nft import AbsentError, Table, apply
from rclib.tunnel.gate_plan import IPV4, IPV6
from rclib.tunnel.gate_sysctl import limit_ipv6
from rclib.wire.gate import LIFETIME_S, GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.gate_nft import Elements
    from rclib.tunnel.gate_plan import IPNetwork, TunnelPlan
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IPAddress


class GatewayEnd:
    """Implements `rclib.tunnel.gate_sessions.GateEnd`."""

    prefix = confinement.PREFIX
    lifetime_s: float | None = LIFETIME_S

    def __init__(
        self,
        netlink: Netlink,
        *,
        plant_networks: tuple[IPNetwork, ...],
        plant_interfaces: tuple[str, ...] = (),
        source_nat: bool = True,
    ) -> None:
        self._netlink = netlink
        self._plant_networks = plant_networks
        self._plant_interfaces = plant_interfaces
        self._source_nat = source_nat
        self._table = Table(confinement.TABLE)
        # Set while sessions are open.
        self._reached: set[str] = set()
        self._lent: set[tuple[int, str]] = set()

    def admit(self, plan: TunnelPlan) -> None:
        own = tuple(
            each for each in self._netlink.addresses() if not each.interface.startswith(self.prefix)
        )
        check_targets(plan.targets, self._plant_networks, own)
        routes = (
            each for each in self._netlink.routes() if not each.interface.startswith(self.prefix)
        )
        check_link_addresses(plan, own, routes)
        for target in plan.targets:
            self._way_to(target)

    def allowed(self, plan: TunnelPlan) -> tuple[IPNetwork, ...]:
        return tuple(ipaddress.ip_network(plan.peer_address(version)) for version in plan.versions)

    def install(self) -> None:
        self.sweep()
        self._table.install(confinement.table(source_nat=self._source_nat))

    def permit(self, plan: TunnelPlan) -> None:
        ways = {(target.version, self._way_to(target)) for target in plan.targets}
        interfaces = {interface for _, interface in ways}
        self._reached |= interfaces
        apply(confinement.allow(plan, sorted(interfaces)))
        for version, interface in sorted(ways - self._lent):
            if not forwarding.forwards(version, interface):
                # Confined before it forwards: no packet may see the machine as a router.
                self._lent.add((version, interface))
                apply(confinement.lend(version, interface))
                forwarding.switch(version, interface, on=True)

    def forbid(self, plan: TunnelPlan) -> None:
        with suppress(AbsentError):  # somebody removed the whole table
            apply(confinement.disallow(plan))
        for version in plan.versions:
            self._netlink.forget_flows(plan.peer_address(version))

    def attach(self, plan: TunnelPlan) -> None:
        for version in plan.versions:
            if not forwarding.forwards(version, plan.interface):
                forwarding.switch(version, plan.interface, on=True)
        limit_ipv6(plan.interface, plan.versions)

    def route(self, plan: TunnelPlan) -> None:
        """Nothing to add: the technician is reached by the link address."""

    def renew(self, plans: Iterable[TunnelPlan]) -> frozenset[SessionId]:
        """All in one transaction; one by one if that fails, to know for whom it is too late."""
        plans = tuple(plans)
        if not plans:
            return frozenset()
        try:
            apply(confinement.renew(plans))
        except AbsentError:
            return frozenset(plan.session for plan in plans if not _renew_one(plan))
        return frozenset()

    def inspect(self, plans: Iterable[TunnelPlan]) -> str | None:
        return self._table.difference(self._expected(plans), confinement.LASTING_SETS)

    def sweep(self) -> None:
        """Tunnels first, then forwarding, and the rules that confined it last."""
        for interface in self._netlink.links(self.prefix):
            self._netlink.delete_link(interface)
        for version, interface in self._lent | self._lent_by_a_killed_gate():
            forwarding.switch_off_if_there(version, interface)
        self._table.remove()
        self._lent.clear()
        self._reached.clear()

    def _lent_by_a_killed_gate(self) -> set[tuple[int, str]]:
        """Read who was lent forwarding from the table itself: it is as old as the lending."""
        state = self._table.read()
        if state is None:
            return set()
        return {
            (version, interface)
            for version in (IPV4, IPV6)
            for interface in state.elements.get(f"lent{version}", ())
        }

    def _way_to(self, target: IPAddress) -> str:
        interface = self._netlink.interface_towards(target)
        if interface is None:
            raise GateRefused(
                GateError.SYSTEM,
                f"the gateway has no route to {target}; check its network configuration",
            )
        if self._plant_interfaces and interface not in self._plant_interfaces:
            raise GateRefused(
                GateError.OUTSIDE_PLANT_NETWORKS,
                f"packets to {target} would leave by {interface}, which is none of "
                f"plant_interfaces in gate.toml ({', '.join(self._plant_interfaces)})",
            )
        return interface

    def _expected(self, plans: Iterable[TunnelPlan]) -> dict[str, Elements]:
        expected: dict[str, set[str]] = {"plant": set(self._reached)}
        for plan in plans:
            for elements in (confinement.allow_elements(plan), confinement.clamp_elements(plan)):
                for name, each in elements.items():
                    expected.setdefault(name, set()).update(each)
        for version, interface in self._lent:
            expected.setdefault(f"lent{version}", set()).add(interface)
        return {name: frozenset(each) for name, each in expected.items()}


def _renew_one(plan: TunnelPlan) -> bool:
    try:
        apply(confinement.renew((plan,)))
    except AbsentError:
        return False
    return True
