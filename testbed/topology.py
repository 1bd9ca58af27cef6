"""What to build, and under which addresses. Pure: a topology in, a plan out.

Each site (a plant or a technician) hangs on the internet router by a cable of its own, so that
losses and cuts hit one site. The internet uses documentation addresses only (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from itertools import count, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from testbed.nat import LAN, WAN, NatKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
AddressOnLink: TypeAlias = IPv4Interface | IPv6Interface
_Network = TypeVar("_Network", IPv4Network, IPv6Network)

CLOUD_V4 = IPv4Network("203.0.113.0/24")
CLOUD_V6 = IPv6Network("2001:db8:0:c::/64")
PLANTS_V4 = IPv4Network("198.51.100.0/24")
PLANTS_V6 = IPv6Network("2001:db8:1::/48")
TECHNICIANS_V4 = IPv4Network("192.0.2.0/24")
TECHNICIANS_V6 = IPv6Network("2001:db8:2::/48")
PLANT_LAN = IPv4Network("192.168.1.0/24")
PLANT_OFFICE = IPv4Network("172.16.10.0/24")
TECHNICIAN_LAN = IPv4Network("192.168.178.0/24")

BRIDGE = "br0"
"""The switch's own interface: captures there see the whole plant LAN."""

SITES_OF_A_KIND = 16
"""A /24 holds 16 uplinks (/29) and 16 routed /29 for sites without NAT."""

NAMES_BY_CLOUD_ADDRESS = (
    ("cloud.example", "control.example", "relay.example", "relay1.example", "stun1.example"),
    ("cloud2.example", "relay2.example", "stun2.example"),
)
"""What the hosts' /etc/hosts resolves: row n names the cloud host's address n."""

# A site's name becomes an interface name on the internet router and a prefix of host names.
_SITE_NAME = re.compile(r"[a-z][a-z0-9]{0,9}")


@dataclass(frozen=True, kw_only=True)
class PlantSpec:
    """A plant: NAT router, office network, gateway, plant LAN with three devices."""

    name: str = "plant"
    nat: NatKind = NatKind.PORT_PRESERVING
    lan: IPv4Network = PLANT_LAN
    """The machines' network: gateway .1, plc .10, hmi .20, unreleased .30."""
    office: IPv4Network = PLANT_OFFICE
    """Router .1, gateway's wan0 .2. Without NAT a public /29 takes its place."""
    ipv4: bool = True
    ipv6: bool = False
    """A global IPv6 prefix for the office network. Filtered like IPv4, never translated."""


@dataclass(frozen=True, kw_only=True)
class TechSpec:
    """A technician's PC, behind a NAT router of its own or in a plant's office network."""

    name: str = "tech"
    nat: NatKind = NatKind.PORT_PRESERVING
    lan: IPv4Network = TECHNICIAN_LAN
    """Router .1, PC .2. Without NAT a public /29 takes its place."""
    ipv4: bool = True
    ipv6: bool = False
    behind: str | None = None
    """Name of the plant whose office network the PC is plugged into; nat, lan, ipv4, ipv6 are
    then those of the plant."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The whole testbed. Site names are unique; the first site of a kind owns the short names."""

    plants: tuple[PlantSpec, ...] = (PlantSpec(),)
    technicians: tuple[TechSpec, ...] = (TechSpec(),)

    def host_name(self, role: str, site: str) -> str:
        """Name of a site's host: `gateway` in the first plant, `bonn_gateway` in plant bonn.

        `nat` and `switch` always carry the site: `plant_nat`, `bonn_nat`.
        """
        first = [spec.name for spec in self.plants[:1]] + [
            spec.name for spec in self.technicians[:1]
        ]
        short = site in first and role not in {Role.NAT, Role.SWITCH}
        return role if short else f"{site}_{role}"


class Role(StrEnum):
    """What a host is for. Names of hosts are made from these and the site's name."""

    INTERNET = "internet"
    CLOUD = "cloud"
    NAT = "nat"
    SWITCH = "switch"
    GATEWAY = "gateway"
    PLC = "plc"
    HMI = "hmi"
    UNRELEASED = "unreleased"
    TECHNICIAN = "technician"


_DEVICE_HOST_NUMBERS: Mapping[Role, int] = {Role.PLC: 10, Role.HMI: 20, Role.UNRELEASED: 30}


@dataclass
class InterfacePlan:
    name: str
    addresses: list[AddressOnLink] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    """Not empty: this interface is a bridge over these."""


@dataclass(frozen=True)
class Route:
    to: Network
    via: Address


@dataclass
class HostPlan:
    name: str
    role: Role
    nat: NatKind | None = None
    """Set on NAT routers only."""
    interfaces: list[InterfacePlan] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    public: list[Address] = field(default_factory=list)
    """Addresses under which the internet sees this host's packets."""

    @property
    def forwards(self) -> bool:
        return self.role in {Role.INTERNET, Role.NAT}

    def interface(self, name: str) -> InterfacePlan:
        return next(each for each in self.interfaces if each.name == name)


@dataclass(frozen=True)
class End:
    """One interface of one host."""

    host: str
    interface: str


@dataclass(frozen=True)
class Cable:
    a: End
    b: End


@dataclass
class Plan:
    """Everything the wiring needs; built once, read only afterwards."""

    hosts: dict[str, HostPlan] = field(default_factory=dict)
    cables: list[Cable] = field(default_factory=list)
    names: dict[str, list[Address]] = field(default_factory=dict)

    def far_end(self, near: End) -> End | None:
        """The interface at the other end of the cable; None for bridges, which have no cable."""
        for cable in self.cables:
            if near in (cable.a, cable.b):
                return cable.b if near == cable.a else cable.a
        return None

    def cabled(self, host: str) -> list[str]:
        """The host's interfaces with a cable in them: all but bridges and lo."""
        ends = (end for cable in self.cables for end in (cable.a, cable.b))
        return [end.interface for end in ends if end.host == host]


def plan(topology: Topology) -> Plan:
    """Lay out hosts, cables and addresses. ValueError says which part of the topology is wrong."""
    _check(topology)
    planner = _Planner(topology)
    for number, plant in enumerate(topology.plants):
        planner.add_plant(number, plant)
    for number, technician in enumerate(topology.technicians):
        planner.add_technician(number, technician)
    return planner.plan


def _check(topology: Topology) -> None:
    names = [site.name for site in topology.plants] + [site.name for site in topology.technicians]
    for name in names:
        if not _SITE_NAME.fullmatch(name):
            raise ValueError(f"site name {name!r}: use up to 10 lower-case letters and digits")
        if name in set(Role) or names.count(name) > 1:
            raise ValueError(f"site name {name!r} is taken: give every site its own")
    for sites in (topology.plants, topology.technicians):
        if len(sites) > SITES_OF_A_KIND:
            raise ValueError(f"{len(sites)} sites of one kind; the plan has {SITES_OF_A_KIND}")
    plants = {plant.name for plant in topology.plants}
    for technician in topology.technicians:
        if technician.behind not in {None, *plants}:
            raise ValueError(f"technician {technician.name}: there is no plant {technician.behind}")


@dataclass
class _Site:
    """The inside of a site: what a host needs to join it."""

    router: HostPlan
    networks: list[Network]
    translates: bool
    seats: Iterator[int]
    """Host numbers not yet given away; the router is 1."""


class _Planner:
    def __init__(self, topology: Topology) -> None:
        self.plan = Plan()
        self._topology = topology
        self._sites: dict[str, _Site] = {}
        self._internet = self._host(Role.INTERNET, Role.INTERNET)
        self._add_cloud()

    def _add_cloud(self) -> None:
        cloud = self._host(Role.CLOUD, Role.CLOUD)
        networks: list[Network] = [CLOUD_V4, CLOUD_V6]
        # Two addresses of each family, so that two STUN servers or relays can be told apart.
        pairs = [[_on_link(each, number) for each in networks] for number in (10, 11)]
        addresses = [address for pair in pairs for address in pair]
        self._plug(self._internet, cloud.name, _routers(networks), cloud, "eth0", addresses)
        cloud.routes += _default_routes(networks)
        cloud.public += [address.ip for address in addresses]
        for pair, names in zip(pairs, NAMES_BY_CLOUD_ADDRESS, strict=True):
            for name in names:
                self.plan.names[name] = [address.ip for address in pair]

    def add_plant(self, number: int, spec: PlantSpec) -> None:
        site = self._add_site(number, spec, spec.office, (PLANTS_V4, PLANTS_V6))
        gateway = self._host(self._topology.host_name(Role.GATEWAY, spec.name), Role.GATEWAY)
        self._join(site, gateway, WAN)

        switch = self._host(self._topology.host_name(Role.SWITCH, spec.name), Role.SWITCH)
        switch.interfaces.append(InterfacePlan(BRIDGE))
        self._plug_into_bridge(switch, BRIDGE, gateway, LAN, [_on_link(spec.lan, 1)])
        for role, host_number in _DEVICE_HOST_NUMBERS.items():
            # Devices get no default route: PLCs often have none, so replies must find the gateway.
            device = self._host(self._topology.host_name(role, spec.name), role)
            address = _on_link(spec.lan, host_number)
            self._plug_into_bridge(switch, BRIDGE, device, "eth0", [address])

    def add_technician(self, number: int, spec: TechSpec) -> None:
        if spec.behind is None:
            site = self._add_site(number, spec, spec.lan, (TECHNICIANS_V4, TECHNICIANS_V6))
        else:
            site = self._sites[spec.behind]
        name = self._topology.host_name(Role.TECHNICIAN, spec.name)
        self._join(site, self._host(name, Role.TECHNICIAN), "eth0")

    def _add_site(
        self,
        number: int,
        spec: PlantSpec | TechSpec,
        private: IPv4Network,
        blocks: tuple[IPv4Network, IPv6Network],
    ) -> _Site:
        """The site's router and its uplink."""
        uplinks: list[Network] = []
        inside: list[Network] = []
        routed: list[Network] = []
        if spec.ipv4:
            uplinks.append(_slice(blocks[0], 29, number))
            public = _slice(blocks[0], 29, SITES_OF_A_KIND + number)
            inside.append(private if spec.nat.translates else public)
            routed += [] if spec.nat.translates else [public]
        if spec.ipv6:
            uplinks.append(_slice(blocks[1], 64, number))
            inside.append(_slice(blocks[1], 64, SITES_OF_A_KIND + number))
            routed.append(inside[-1])

        router = self._host(self._topology.host_name(Role.NAT, spec.name), Role.NAT, spec.nat)
        ours = [_on_link(each, 2) for each in uplinks]
        self._plug(self._internet, spec.name, _routers(uplinks), router, WAN, ours)
        router.interfaces.append(InterfacePlan(LAN, _routers(inside)))
        router.routes += _default_routes(uplinks)
        router.public += [each.ip for each in ours]
        for network in routed:
            via = next(each.ip for each in ours if each.version == network.version)
            self._internet.routes.append(Route(network, via))
        self._sites[spec.name] = site = _Site(router, inside, spec.nat.translates, count(2))
        return site

    def _join(self, site: _Site, host: HostPlan, interface: str) -> None:
        seat = next(site.seats)
        addresses = [_on_link(each, seat) for each in site.networks]
        self._plug_into_bridge(site.router, LAN, host, interface, addresses)
        host.routes += _default_routes(site.networks)
        routers = [each for each in site.router.public if isinstance(each, IPv4Address)]
        for address in addresses:
            hidden = site.translates and isinstance(address, IPv4Interface)
            host.public += routers if hidden else [address.ip]

    def _host(self, name: str, role: Role, nat: NatKind | None = None) -> HostPlan:
        self.plan.hosts[str(name)] = host = HostPlan(str(name), role, nat)
        return host

    def _plug_into_bridge(
        self,
        switch: HostPlan,
        bridge: str,
        host: HostPlan,
        interface: str,
        addresses: list[AddressOnLink],
    ) -> None:
        ports = switch.interface(bridge).ports
        ports.append(f"port{len(ports) + 1}")
        self._plug(switch, ports[-1], [], host, interface, addresses)

    def _plug(
        self,
        a: HostPlan,
        a_interface: str,
        a_addresses: list[AddressOnLink],
        b: HostPlan,
        b_interface: str,
        b_addresses: list[AddressOnLink],
    ) -> None:
        a.interfaces.append(InterfacePlan(a_interface, a_addresses))
        b.interfaces.append(InterfacePlan(b_interface, b_addresses))
        self.plan.cables.append(Cable(End(a.name, a_interface), End(b.name, b_interface)))


def _on_link(network: Network, number: int) -> AddressOnLink:
    """The network's address with this number, with the prefix length of the link."""
    if isinstance(network, IPv4Network):
        return IPv4Interface((network[number], network.prefixlen))
    return IPv6Interface((network[number], network.prefixlen))


def _routers(networks: list[Network]) -> list[AddressOnLink]:
    return [_on_link(each, 1) for each in networks]


def _default_routes(networks: list[Network]) -> list[Route]:
    return [Route(each.supernet(new_prefix=0), each[1]) for each in networks]


def _slice(block: _Network, prefix: int, number: int) -> _Network:
    return next(islice(block.subnets(new_prefix=prefix), number, None))
