"""The gateway's end of tunnels: the packet filter, forwarding and what may be reached at all."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING

from rcd.gate import confinement, foreign, forwarding
from rcd.gate.close import close_everything
from rcd.gate.flows import FlowBook
from rcd.gate.names import PREFIX, TABLE, lent_set
from rcd.gate.policy import check_targets
from rclib.runtime.clock import boottime
from rclib.tunnel.gate_addresses import check_link_addresses
from rclib.tunnel.gate_errors import GateRefused, system_fault
from rclib.tunnel.gate_generation import Generation
from rclib.tunnel.gate_nft import AbsentError, Table, apply, check, list_rules
from rclib.tunnel.gate_sysctl import limit_ipv6
from rclib.wire.gate import LIFETIME_S, GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.gate_nft import Elements, TableState
    from rclib.tunnel.gate_plan import IPNetwork, TunnelPlan
    from rclib.wire.gate import Flows
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IPAddress


class GatewayEnd:
    """Implements `rclib.tunnel.gate_end.GateEnd`."""

    prefix = PREFIX
    lifetime_s: float | None = LIFETIME_S

    def __init__(
        self,
        netlink: Netlink,
        *,
        plant_networks: tuple[IPNetwork, ...],
        plant_interfaces: tuple[str, ...] = (),
        source_nat: bool = True,
        routes_for_plant: bool = False,
    ) -> None:
        self._netlink = netlink
        self._plant_networks = plant_networks
        self._plant_interfaces = plant_interfaces
        self._source_nat = source_nat
        self._routes_for_plant = routes_for_plant
        self._table = Table(TABLE)
        self._flows = FlowBook()
        # Set while sessions are open.
        self._foreign: frozenset[foreign.ForeignRule] = frozenset()
        self._generation = Generation()
        self._reached: set[str] = set()
        self._lent: set[tuple[int, str]] = set()

    def rehearse(self) -> None:
        check(self._rules())

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
        self._foreign = foreign.deciding(list_rules(), TABLE)
        self._generation = Generation()
        self._table.install(self._rules())

    def permit(self, plan: TunnelPlan) -> None:
        ways = {(target.version, self._way_to(target)) for target in plan.targets}
        interfaces = {interface for _, interface in ways}
        self._reached |= interfaces
        self._flows.opened(plan)
        borrowed = [way for way in sorted(ways - self._lent) if not forwarding.forwards(*way)]
        # Confined before it forwards: no packet may see the machine as a router.
        apply(
            confinement.allow(plan, sorted(interfaces))
            + "".join(confinement.lend(*way) for way in borrowed)
        )
        self._lent.update(borrowed)
        for way in borrowed:
            forwarding.switch(*way, on=True)

    def forbid(self, plan: TunnelPlan) -> None:
        with suppress(GateRefused):  # what cannot be counted is closed all the same
            self._count((plan,), self._table.read())
        try:
            with suppress(AbsentError):  # somebody removed the whole table
                apply(confinement.disallow(plan))
        finally:
            for version in plan.versions:
                self._netlink.forget_flows(plan.peer_address(version))

    def attach(self, plan: TunnelPlan) -> None:
        for version in plan.versions:
            if not forwarding.forwards(version, plan.interface):
                forwarding.switch(version, plan.interface, on=True)
        limit_ipv6(plan.interface, plan.versions)

    def route(self, plan: TunnelPlan) -> None:
        """Nothing to add: the technician is reached by the link address."""

    def reach(self, _plan: TunnelPlan) -> tuple[IPAddress | None, ...]:
        """Say nothing: what a device is called is the technician's business."""
        return ()

    def flows(self, session: SessionId) -> Flows:
        try:
            return self._flows.flows(session, boottime())
        except KeyError:
            raise GateRefused(
                GateError.UNKNOWN_SESSION, f"{session} was not open here, or long ago"
            ) from None

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
        plans = tuple(plans)
        tunnels = {(version, plan.interface) for plan in plans for version in plan.versions}
        state = self._table.read()
        self._count(plans, state)
        return (
            self._table.difference(
                state,
                self._expected(plans),
                exact=confinement.LASTING_SETS,
                filled_by_rules=confinement.REFUSED_SETS,
            )
            or self._foreign_rule()
            or self.forwards_beside(tunnels)
        )

    def _foreign_rule(self) -> str | None:
        if not self._generation.wants_a_look():
            return None
        return foreign.appeared(self._foreign, foreign.deciding(list_rules(), TABLE))

    def guard(self) -> str | None:
        """Switch off what would make a router of this machine, and say what it was."""
        found = self.forwards_beside()
        if found is not None:
            forwarding.switch_off(forwarding.beside(()))
        return found

    def forwards_beside(self, tunnels: Iterable[tuple[int, str]] = ()) -> str | None:
        """Say where packets are forwarded without us; nowhere, or meant so: None."""
        if self._routes_for_plant:
            return None
        found = forwarding.beside({*self._lent, *tunnels})
        return f"IP forwarding is switched on in {found[0]}" if found else None

    def sweep(self) -> None:
        """As `rcd-gate close` does it."""
        self._table.forget()
        faults = close_everything(self._lent)
        if faults:
            self._table.read()  # says it better if nft or the privilege is missing
            raise system_fault(faults[0].what, faults[0].error)
        self._lent.clear()
        self._reached.clear()

    def _count(self, plans: Iterable[TunnelPlan], state: TableState | None) -> None:
        if state is not None:
            self._flows.note(plans, state.counts, boottime())

    def _rules(self) -> str:
        return confinement.table(source_nat=self._source_nat)

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
            for elements in (confinement.allow_elements(plan), confinement.lasting_elements(plan)):
                for name, each in elements.items():
                    expected.setdefault(name, set()).update(each)
        for version, interface in self._lent:
            expected.setdefault(lent_set(version), set()).add(interface)
        return {name: frozenset(each) for name, each in expected.items()}


def _renew_one(plan: TunnelPlan) -> bool:
    try:
        apply(confinement.renew((plan,)))
    except AbsentError:
        return False
    return True
