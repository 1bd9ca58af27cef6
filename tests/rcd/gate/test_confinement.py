"""The rendered allow-set against an oracle that knows nothing of nft."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcd.gate import confinement
from rcd.gate.names import ALLOW_SETS
from rclib.tunnel.gate_plan import Device, Grant, TunnelPlan, interface_name
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import VIRTUAL_NETWORK, Protocol

if TYPE_CHECKING:
    from rclib.wire.session import IPAddress

NUMBERS = {Protocol.TCP: "6", Protocol.UDP: "17"}
CHANGE = re.compile(r"(?P<verb>add|delete) element inet rcd_gate (?P<set>\w+) \{ (?P<items>.*) \}")

# Few values, so that drawn packets and drawn grants meet.
devices: st.SearchStrategy[IPv4Address | IPv6Address] = st.sampled_from(
    [IPv4Address("192.168.1.10"), IPv4Address("192.168.1.11"), IPv6Address("fd00:1::10")]
)
ports = st.sampled_from([1, 80, 502, 65535])
transports = st.sampled_from([Protocol.TCP, Protocol.UDP])
grants = st.one_of(
    st.builds(Grant, devices, transports, st.none() | ports),
    st.builds(Grant, devices, st.just(Protocol.ICMP_ECHO), st.none()),
)


def plan_of(number: int, granted: tuple[Grant, ...], mtu: int = 1280) -> TunnelPlan:
    session = SessionId("ses_" + "abcdefgh"[number] * 16)
    return TunnelPlan(
        session,
        interface_name("rcg", session),
        IPv4Address(f"100.64.{number}.1"),
        IPv4Address(f"100.64.{number}.2"),
        granted,
        TunnelKey(bytes(32)),
        4000,
        mtu,
        0,
        tuple(device_of(grant.address) for grant in granted),
    )


def device_of(address: IPv4Address | IPv6Address) -> Device:
    """Odd IPv4 devices keep the technician's address as source."""
    if address.version == 6:
        return Device(address)
    return Device(address, VIRTUAL_NETWORK[int(address) % 256], int(address) % 2 == 0)


plan_sets = st.lists(st.lists(grants, min_size=1, max_size=6), min_size=1, max_size=3).map(
    lambda each: [plan_of(number, tuple(dict.fromkeys(g))) for number, g in enumerate(each)]
)


class Absent(Exception):  # noqa: N818 -- ENOENT
    """What the kernel answers to the deletion of an element that is not there."""


class Sets:
    """The kernel's sets, as far as additions and deletions go; a transaction is all or nothing."""

    def __init__(self) -> None:
        self.elements: set[tuple[str, str]] = set()

    def apply(self, transaction: str) -> None:
        changed = set(self.elements)
        for line in transaction.splitlines():
            match = CHANGE.fullmatch(line)
            assert match is not None, line
            for item in match["items"].split(", "):
                element = (match["set"], item)
                if match["verb"] == "add":
                    changed.add(element)
                elif element in changed:
                    changed.remove(element)
                else:
                    raise Absent
        self.elements = changed

    def pass_through(self, packet: Packet) -> bool:
        """Follow the chain `released` for a packet from a tunnel."""
        version = packet.destination.version
        ends = f"{packet.interface} . {packet.source} . {packet.destination}"
        if packet.protocol is Protocol.ICMP_ECHO:
            return (f"pings{version}", ends) in self.elements
        number = NUMBERS[packet.protocol]
        return (f"ports{version}", f"{ends} . {number} . {packet.port}") in self.elements or (
            f"hosts{version}",
            f"{ends} . {number}",
        ) in self.elements


@dataclass(frozen=True)
class Packet:
    interface: str
    source: IPAddress
    destination: IPAddress
    protocol: Protocol
    port: int


def may_pass(packet: Packet, plans: list[TunnelPlan]) -> bool:
    """The oracle: what was granted to whom, in the words of the grant."""
    for plan in plans:
        if packet.interface != plan.interface:
            continue
        if packet.source != plan.peer_address(packet.destination.version):
            continue
        for grant in plan.grants:
            if (grant.address, grant.protocol) != (packet.destination, packet.protocol):
                continue
            if grant.port in {None, packet.port}:
                return True
    return False


@st.composite
def packets(draw: st.DrawFn, plans: list[TunnelPlan]) -> Packet:
    destination = draw(devices)
    carrier, claimed = draw(st.sampled_from(plans)), draw(st.sampled_from(plans))
    return Packet(
        carrier.interface,
        claimed.peer_address(destination.version),
        destination,
        draw(st.sampled_from(list(Protocol))),
        draw(ports),
    )


class TestAllowSet:
    @given(plan_sets, st.data())
    def test_exactly_the_granted_tuples_pass(
        self, plans: list[TunnelPlan], data: st.DataObject
    ) -> None:
        sets = Sets()
        for plan in plans:
            sets.apply(confinement.allow(plan, ["lan0"]))
        for _ in range(20):
            packet = data.draw(packets(plans))
            assert sets.pass_through(packet) == may_pass(packet, plans)

    @given(plan_sets)
    def test_a_renewal_keeps_every_element(self, plans: list[TunnelPlan]) -> None:
        sets = Sets()
        for plan in plans:
            sets.apply(confinement.allow(plan, ["lan0"]))
        before = set(sets.elements)
        sets.apply(confinement.renew(plans))
        assert sets.elements == before

    @given(plan_sets, st.data())
    def test_a_late_renewal_cannot_reopen_the_door(
        self, plans: list[TunnelPlan], data: st.DataObject
    ) -> None:
        sets = Sets()
        for plan in plans:
            sets.apply(confinement.allow(plan, ["lan0"]))
        late = data.draw(st.sampled_from(plans))
        (name, elements), *_ = confinement.allow_elements(late).items()
        sets.elements.remove((name, elements[0]))
        before = set(sets.elements)
        with pytest.raises(Absent):
            sets.apply(confinement.renew(plans))
        assert sets.elements == before

    @given(plan_sets, st.data())
    def test_disallowing_removes_one_sessions_elements_and_no_others(
        self, plans: list[TunnelPlan], data: st.DataObject
    ) -> None:
        """Whether they are all there, or ran out one by one."""
        sets = Sets()
        for plan in plans:
            sets.apply(confinement.allow(plan, ["lan0"]))
        gone = data.draw(st.sampled_from(plans))
        mine = {each for each in sets.elements if gone.interface in each[1]}
        expired = data.draw(st.sets(st.sampled_from(sorted(mine))))
        sets.elements -= expired
        others = sets.elements - mine
        sets.apply(confinement.disallow(gone))
        assert sets.elements == others

    def test_elements_bear_the_sessions_interface(self) -> None:
        plan = plan_of(0, (Grant(IPv4Address("192.168.1.10"), Protocol.TCP, 502),))
        assert confinement.allow_elements(plan) == {
            "ports4": ("rcgaaaaaaaaaaaa . 100.64.0.2 . 192.168.1.10 . 6 . 502",)
        }

    def test_segments_fit_the_tunnel(self) -> None:
        plan = plan_of(0, (Grant(IPv6Address("fd00::1"), Protocol.TCP, 80),), mtu=1280)
        lasting = confinement.lasting_elements(plan)
        assert lasting["mss4"] == ("rcgaaaaaaaaaaaa : 1240",)
        assert lasting["mss6"] == ("rcgaaaaaaaaaaaa : 1220",)

    def test_a_virtual_address_leads_to_one_device_and_only_from_its_own_tunnel(self) -> None:
        grants = [Grant(IPv4Address("192.168.1.10"), Protocol.TCP, port) for port in (80, 502)]
        lasting = confinement.lasting_elements(plan_of(0, tuple(grants)))
        assert lasting["virtual4"] == ("rcgaaaaaaaaaaaa . 100.96.0.10 : 192.168.1.10",)
        assert not lasting["source_kept4"]

    def test_a_device_that_is_to_see_the_technician_is_left_untranslated(self) -> None:
        plan = plan_of(0, (Grant(IPv4Address("192.168.1.11"), Protocol.TCP, 502),))
        assert confinement.lasting_elements(plan)["source_kept4"] == (
            "rcgaaaaaaaaaaaa . 192.168.1.11",
        )

    def test_one_wish_for_translation_is_enough(self) -> None:
        """A device without a route back must not be cut off by its second name."""
        plc = IPv4Address("192.168.1.11")
        plan = plan_of(0, (Grant(plc, Protocol.TCP, 502),))
        both = dataclasses.replace(plan, devices=(Device(plc, None, False), Device(plc)))
        assert not confinement.lasting_elements(both)["source_kept4"]


class TestTable:
    def test_every_chain_that_tunnels_end_in_ends_with_a_drop(self) -> None:
        """Chains a jump returns from, and the ones behind a match on the tunnel's interface."""

        chains = re.findall(
            r"chain (\w+) \{\n(.*?)\n  \}", confinement.table(source_nat=True), re.DOTALL
        )
        last = {name: body.splitlines()[-1].strip() for name, body in chains}
        for name in ("refused", "to_tunnel"):
            assert last[name] == "counter drop"
        assert last["from_tunnel"] == "goto refused"
        assert last["input"] == 'iifname "rcg*" goto refused'
        assert last["output"] == 'oifname "rcg*" counter drop'

    def test_nothing_is_accepted_for_being_established(self) -> None:
        """Every rule that accepts a forwarded packet looks it up in the allow-set.

        Or it counts for a device what such a rule has led to it, and accepts nothing uncounted.
        """
        text = confinement.table(source_nat=True)
        forwarded = text[text.index("chain released") : text.index("chain destination_nat")]
        lines = forwarded.splitlines()
        accepting = [line for line in lines if line.endswith(("accept", "_device"))]
        assert len(accepting) == 18 + 4
        for line in accepting:
            looked_up = r"@(ports|hosts|pings)[46] (counter accept|goto (to|from)_device)$"
            counted = r"@(to|from)_device[46] counter accept$"
            assert re.search(f"{looked_up}|{counted}", line), line
        leading = [line for line in lines if re.search(r"(jump|goto) (to|from)_device", line)]
        assert all("@" in line for line in leading)

    def test_what_closing_empties_is_all_that_lets_packets_through(self) -> None:
        text = confinement.table(source_nat=True)
        leading = [
            line
            for line in text.splitlines()
            if line.endswith(("counter accept", "goto to_device", "goto from_device"))
        ]
        found = {re.findall(r"@(\w+)", line)[-1] for line in leading}
        # What counts for a device is reached by those rules only.
        counting = {f"{way}_device{version}" for way in ("to", "from") for version in (4, 6)}
        assert found - counting == set(ALLOW_SETS)

    def test_source_nat_can_be_switched_off(self) -> None:
        assert "masquerade" in confinement.table(source_nat=True)
        assert "masquerade" not in confinement.table(source_nat=False)
