from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.nat import NatKind
from testbed.topology import End, PlantSpec, Role, TechSpec, Topology, plan

nats = st.sampled_from(NatKind)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    plants = draw(st.lists(st.tuples(nats, st.booleans()), min_size=1, max_size=16))
    technicians = draw(st.lists(st.tuples(nats, st.booleans()), max_size=16))
    return Topology(
        plants=tuple(
            PlantSpec(name=f"p{number}", nat=nat, ipv6=ipv6)
            for number, (nat, ipv6) in enumerate(plants)
        ),
        technicians=tuple(
            TechSpec(name=f"t{number}", nat=nat, ipv6=ipv6)
            for number, (nat, ipv6) in enumerate(technicians)
        ),
    )


@given(topologies())
def test_no_two_routers_on_the_internet_share_an_address(topology: Topology) -> None:
    planned = plan(topology)
    wans = [
        address.ip
        for host in planned.hosts.values()
        if host.role in {Role.NAT, Role.CLOUD}
        for address in host.interfaces[0].addresses
    ]
    assert len(wans) == len(set(wans))


@given(topologies())
def test_every_interface_but_bridges_has_exactly_one_cable(topology: Topology) -> None:
    planned = plan(topology)
    plugged = [end for cable in planned.cables for end in (cable.a, cable.b)]
    assert len(plugged) == len(set(plugged))
    expected = {
        End(host.name, interface.name)
        for host in planned.hosts.values()
        for interface in host.interfaces
        if not interface.ports
    }
    assert set(plugged) == expected


def test_the_first_plant_owns_the_short_names() -> None:
    two = Topology(plants=(PlantSpec(), PlantSpec(name="bonn")))
    assert two.host_name(Role.GATEWAY, "plant") == "gateway"
    assert two.host_name(Role.NAT, "plant") == "plant_nat"
    assert two.host_name(Role.GATEWAY, "bonn") == "bonn_gateway"
    assert {"plc", "bonn_plc", "tech_nat", "technician"} <= set(plan(two).hosts)


def test_two_plants_may_have_the_same_network() -> None:
    hosts = plan(Topology(plants=(PlantSpec(), PlantSpec(name="bonn")))).hosts
    ours, theirs = hosts["plc"], hosts["bonn_plc"]
    assert ours.interfaces[0].addresses == theirs.interfaces[0].addresses


def test_devices_have_no_default_route() -> None:
    hosts = plan(Topology()).hosts
    assert [hosts[name].routes for name in ("plc", "hmi", "unreleased")] == [[], [], []]


def test_without_nat_the_inside_has_a_public_address_that_the_internet_routes() -> None:
    planned = plan(Topology(plants=(PlantSpec(nat=NatKind.NONE),)))
    (address,) = (each.ip for each in planned.hosts["gateway"].interface("wan0").addresses)
    assert address in IPv4Network("198.51.100.0/24")
    assert planned.hosts["gateway"].public == [address]
    assert any(address in route.to for route in planned.hosts["internet"].routes)


def test_behind_a_nat_the_internet_sees_the_router() -> None:
    hosts = plan(Topology()).hosts
    assert hosts["technician"].public == hosts["tech_nat"].public


def test_a_technician_can_sit_in_the_plants_own_office() -> None:
    hosts = plan(Topology(technicians=(TechSpec(behind="plant"),))).hosts
    office = hosts["plant_nat"].interface("lan0").addresses[0].network
    assert hosts["technician"].interfaces[0].addresses[0].ip in office
    assert "tech_nat" not in hosts


@pytest.mark.parametrize(
    ("topology", "complaint"),
    [
        (Topology(plants=(PlantSpec(name="Bonn!"),)), "lower-case"),
        (Topology(plants=(PlantSpec(), PlantSpec())), "taken"),
        (Topology(plants=(PlantSpec(name="cloud"),)), "taken"),
        (Topology(technicians=(TechSpec(behind="nowhere"),)), "no plant nowhere"),
        (Topology(plants=tuple(PlantSpec(name=f"p{n}") for n in range(17))), "17 sites"),
    ],
)
def test_a_wrong_topology_is_refused_by_name(topology: Topology, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        plan(topology)
