"""The order in which a session comes and goes, with every step failing once.

The steps themselves run against the kernel in tests/rcd/gate and tests/rcc/gate.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, cast

import pytest

from rclib.runtime.logs import get_logger
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_sessions import Gate
from rclib.tunnel.wireguard import Counters, Steering
from rclib.wire.gate import (
    Allow,
    Flows,
    GateError,
    Gone,
    Open,
    Steer,
    Tampered,
    UdpEndpoint,
    decode_frame,
    encode,
)
from rclib.wire.ids import SessionId
from rclib.wire.session import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_plan import TunnelPlan
    from rclib.wire.session import IPAddress

A, B = SessionId("ses_aaaaaaaaaaaaaaaa"), SessionId("ses_bbbbbbbbbbbbbbbb")
BUILT = ["install", "permit", "create", "add_address", "attach", "bring_up", "route"]


class Machine:
    """Stands for the gate's end, WireGuard and netlink at once: records, and fails on demand."""

    prefix = "rcg"
    name = "kernel"
    lifetime_s: float | None = 15

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.fails: str | None = None
        self.late: frozenset[SessionId] = frozenset()
        self.fault: str | None = None
        self.opened_beside: str | None = None
        self.now = 0.0
        self.up: list[str] = []
        self.steered: list[Steering] = []

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.fails:
            raise GateRefused(GateError.SYSTEM, f"{name} failed")

    def clear(self) -> list[str]:
        steps, self.steps = self.steps, []
        return steps

    # GateEnd
    def admit(self, plan: TunnelPlan) -> None:
        self.step("admit")

    def allowed(self, plan: TunnelPlan) -> tuple[IPv4Network, ...]:
        return (IPv4Network(plan.peer),)

    def install(self) -> None:
        self.step("install")

    def permit(self, plan: TunnelPlan) -> None:
        self.step("permit")

    def forbid(self, plan: TunnelPlan) -> None:
        self.step("forbid")

    def attach(self, plan: TunnelPlan) -> None:
        self.step("attach")

    def route(self, plan: TunnelPlan) -> None:
        self.step("route")

    def reach(self, plan: TunnelPlan) -> tuple[IPAddress | None, ...]:
        return (*plan.targets, None)

    def flows(self, session: SessionId) -> Flows:
        return Flows(session)

    def renew(self, plans: Iterable[TunnelPlan], /) -> frozenset[SessionId]:
        late = self.late & {plan.session for plan in plans}
        self.step("renew")
        return late

    def inspect(self, plans: Iterable[TunnelPlan], /) -> str | None:
        self.step("inspect")
        return self.fault

    def guard(self) -> str | None:
        return self.opened_beside

    def sweep(self) -> None:
        self.step("sweep")

    # WireGuard
    def begin(self, interface: str) -> None:
        self.step("begin")
        self.up.append(interface)

    def create(self, interface: str, settings: object) -> None:
        self.step("create")
        if interface not in self.up:
            self.up.append(interface)

    def bring_up(self, interface: str, mtu: int) -> int:
        self.step("bring_up")
        return 4711

    def counters(self, interface: str) -> Counters:
        self.step("counters")
        return Counters(1, 2, None, ("192.0.2.7", 4711))

    def steer(self, interface: str, steering: Steering) -> None:
        self.step("steer")
        self.steered.append(steering)

    def probe(self, interface: str, steering: Steering) -> None:
        self.step("probe")

    def remove(self, interface: str) -> None:
        self.step("remove")
        if interface in self.up:
            self.up.remove(interface)

    # Netlink
    def add_address(self, interface: str, local: object, peer: object) -> None:
        self.step("add_address")

    def links(self, prefix: str) -> tuple[str, ...]:
        return tuple(self.up)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def gate(machine: Machine) -> Gate:
    return Gate(
        machine,
        cast("Any", machine),
        get_logger("gate"),
        max_sessions=2,
        choose=lambda _netlink, _prefix: machine,
        clock=lambda: machine.now,
    )


def request(session: SessionId = A, number: int = 1) -> Open:
    allow = (Allow("192.168.1.10", Protocol.TCP, 502),)
    key = cast("Any", bytes(32))
    return Open(session, key, f"100.64.{number}.1", f"100.64.{number}.2", 4000, allow, 1280)


def open_both(gate: Gate, machine: Machine) -> None:
    for number, session in enumerate((A, B)):
        gate.prepare(session)
        gate.open(request(session, number))
    machine.clear()


class TestOpening:
    def test_rules_come_first_and_the_interface_up_last(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        opened = gate.open(request())
        assert machine.clear() == ["admit", *BUILT]
        assert (opened.listen_port, opened.backend) == (4711, "kernel")

    def test_the_rules_for_all_are_installed_once(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        gate.close(A)
        assert machine.clear() == ["remove", "forbid"]
        gate.close(B)
        assert machine.clear() == ["remove", "forbid", "sweep"]

    @pytest.mark.parametrize("fails", BUILT)
    def test_whatever_fails_everything_before_it_is_undone(
        self, gate: Gate, machine: Machine, fails: str
    ) -> None:
        gate.prepare(A)
        machine.fails = fails
        with pytest.raises(GateRefused, match=f"{fails} failed"):
            gate.open(request())
        undone = machine.clear()[2 + BUILT.index(fails) :]
        expected = {"install": [], "permit": ["forbid"]}.get(fails, ["remove", "forbid"])
        assert undone == [*expected, "sweep"]
        assert (gate.sessions, machine.up) == (0, [])
        machine.fails = None
        gate.open(request())
        assert gate.sessions == 1

    def test_a_failure_leaves_other_sessions_alone(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        gate.open(request(A, 1))
        gate.prepare(B)
        machine.fails = "bring_up"
        with pytest.raises(GateRefused):
            gate.open(request(B, 2))
        assert "sweep" not in machine.clear()
        assert gate.sessions == 1

    def test_what_is_refused_changes_nothing(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        machine.fails = "admit"
        with pytest.raises(GateRefused):
            gate.open(request())
        assert machine.clear() == ["admit"]

    def test_the_key_is_made_once_and_used_once(self, gate: Gate) -> None:
        with pytest.raises(GateRefused) as refused:
            gate.open(request())
        assert refused.value.error is GateError.UNKNOWN_SESSION
        assert gate.prepare(A).tunnel_key != gate.prepare(B).tunnel_key
        with pytest.raises(GateRefused) as refused:
            gate.prepare(A)
        assert refused.value.error is GateError.SESSION_EXISTS
        gate.open(request())
        with pytest.raises(GateRefused) as refused:
            gate.open(request())
        assert refused.value.error is GateError.SESSION_EXISTS
        gate.close(A)
        with pytest.raises(GateRefused) as refused:
            gate.open(request())
        assert refused.value.error is GateError.UNKNOWN_SESSION

    def test_prepared_sessions_count_as_well(self, gate: Gate) -> None:
        gate.prepare(A)
        gate.open(request())
        gate.prepare(B)
        with pytest.raises(GateRefused) as refused:
            gate.prepare(SessionId("ses_cccccccccccccccc"))
        assert refused.value.error is GateError.TOO_MANY_SESSIONS


class TestBeginning:
    """What is done of a session before its grant is there."""

    def test_the_interface_is_made_and_nothing_opens(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        gate.begin(A)
        assert machine.clear() == ["begin"]
        assert gate.sessions == 0
        gate.open(request())
        assert machine.clear() == ["admit", *BUILT]
        assert len(machine.up) == 1

    def test_what_fails_ahead_is_done_when_it_is_needed(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        machine.fails = "begin"
        gate.begin(A)
        gate.open(request())
        assert gate.sessions == 1

    def test_a_session_without_a_key_begins_nothing(self, gate: Gate, machine: Machine) -> None:
        gate.begin(A)
        assert machine.clear() == []

    @pytest.mark.parametrize("ends", ["close", "close_all"])
    def test_without_a_grant_it_goes_away_again(
        self, gate: Gate, machine: Machine, ends: str
    ) -> None:
        gate.prepare(A)
        gate.begin(A)
        gate.close(A) if ends == "close" else gate.close_all()
        assert machine.clear() == ["begin", "remove"]
        assert machine.up == []

    def test_a_grant_that_is_refused_takes_it_along(self, gate: Gate, machine: Machine) -> None:
        gate.prepare(A)
        gate.begin(A)
        machine.fails = "admit"
        with pytest.raises(GateRefused):
            gate.open(request())
        assert machine.clear() == ["begin", "admit", "remove"]
        assert machine.up == []

    def test_what_cannot_be_removed_goes_with_the_next_sweep(
        self, gate: Gate, machine: Machine
    ) -> None:
        gate.prepare(A)
        gate.begin(A)
        machine.fails = "remove"
        gate.close(A)
        machine.clear()
        machine.fails = None
        gate.watch()
        assert machine.clear() == ["sweep"]

    def test_an_open_session_of_the_same_interface_keeps_it(
        self, gate: Gate, machine: Machine
    ) -> None:
        twin = SessionId(A + "b")
        gate.prepare(A)
        gate.open(request())
        gate.prepare(twin)
        gate.begin(twin)
        gate.close(twin)
        assert "remove" not in machine.clear()
        assert len(machine.up) == 1

    def test_the_end_of_the_last_open_session_takes_it_along(
        self, gate: Gate, machine: Machine
    ) -> None:
        gate.prepare(A)
        gate.open(request())
        gate.prepare(B)
        gate.begin(B)
        machine.clear()
        gate.close(A)
        assert machine.clear() == ["remove", "forbid", "remove", "sweep"]
        gate.open(request(B, 2))
        assert gate.sessions == 1


class TestClosing:
    def test_closing_what_is_not_open_is_no_error(self, gate: Gate, machine: Machine) -> None:
        gate.close(A)
        gate.close_all()
        assert machine.clear() == []

    def test_one_failure_does_not_keep_the_rest_open(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        machine.fails = "forbid"
        with pytest.raises(GateRefused, match="forbid failed"):
            gate.close_all()
        assert machine.clear() == ["remove", "forbid", "remove", "forbid", "sweep"]
        assert gate.sessions == 0

    def test_sweeping_closes_first_and_sweeps_whatever_fails(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        machine.fails = "remove"
        with pytest.raises(GateRefused, match="remove failed"):
            gate.sweep()
        assert machine.clear()[-1] == "sweep"


class TestRenewal:
    def test_a_renewed_session_lives_on(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        for machine.now in (10.0, 20.0, 30.0):
            assert gate.renew([A, B]).expired == ()
        assert gate.watch() == ()

    def test_what_the_kernel_has_dropped_is_closed_and_named(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        machine.late = frozenset({A})
        assert gate.renew([A, B]).expired == (A,)
        assert machine.clear() == ["renew", "remove", "forbid"]
        assert gate.renew([A, B]).expired == (A,)
        assert gate.sessions == 1

    def test_after_a_night_of_suspend_nothing_is_renewed(
        self, gate: Gate, machine: Machine
    ) -> None:
        """The kernel's timeouts stood still; the boot clock did not."""
        open_both(gate, machine)
        machine.now = 15.0
        assert gate.renew([A, B]).expired == (A, B)
        assert gate.sessions == 0

    def test_a_renewal_that_fails_closes_everything(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        machine.fails = "renew"
        with pytest.raises(GateRefused, match="renew failed"):
            gate.renew([A])
        assert gate.sessions == 0
        assert machine.steps[-1] == "sweep"

    def test_an_unknown_session_is_as_good_as_expired(self, gate: Gate) -> None:
        assert gate.renew([A]).expired == (A,)


class TestWatch:
    def test_an_idle_gate_looks_at_nothing(self, gate: Gate, machine: Machine) -> None:
        assert gate.watch() == ()
        assert machine.clear() == []

    def test_what_somebody_opens_beside_an_idle_gate_is_reported_once_a_minute(
        self, gate: Gate, machine: Machine
    ) -> None:
        """Whatever keeps opening it must not fill the record."""
        machine.opened_beside = "forwarding is on"
        assert gate.watch() == (Tampered("forwarding is on"),)
        machine.now = 59.0
        assert gate.watch() == ()
        machine.now = 60.0
        assert gate.watch() == (Tampered("forwarding is on"),)

    def test_tampering_is_told_in_as_much_text_as_the_protocol_takes(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        machine.fault = "x" * 600
        (event,) = gate.watch()
        assert decode_frame(encode(event)) == event

    def test_tampering_closes_everything(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        machine.fault = "the table is gone"
        assert gate.watch() == (Tampered("the table is gone"),)
        assert gate.sessions == 0

    def test_rules_that_cannot_be_read_are_as_good_as_tampered(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        machine.fails = "inspect"
        assert gate.watch() == (Tampered("the rules cannot be read: inspect failed"),)
        assert gate.sessions == 0

    def test_what_cannot_be_closed_is_reported_and_tried_again(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        machine.fault, machine.fails = "the table is gone", "sweep"
        (event,) = gate.watch()
        assert event == Tampered("the table is gone; closing was incomplete: sweep failed")
        assert gate.watch() == (Tampered("not everything could be closed: sweep failed"),)
        assert gate.watch() == (), "said once a minute"
        machine.fails = None
        machine.clear()
        assert gate.watch() == ()
        assert machine.clear() == ["sweep"]
        assert gate.watch() == ()
        assert machine.clear() == []

    def test_a_vanished_interface_is_reported_whatever_fails(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        gone = machine.up.pop(0)
        machine.fails = "forbid"
        assert gate.watch() == (Gone(A, f"its interface {gone} was removed"),)
        assert gate.sessions == 1

    def test_a_vanished_interface_ends_its_session(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        gone = machine.up.pop(0)
        assert gate.watch() == (Gone(A, f"its interface {gone} was removed"),)
        assert gate.sessions == 1

    def test_a_session_nobody_renewed_ends(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        machine.now = 10.0
        gate.renew([A])
        machine.now = 16.0
        assert gate.watch() == (Gone(B, "it was not renewed for 15 s"),)

    def test_where_nothing_expires_nothing_needs_renewal(
        self, gate: Gate, machine: Machine
    ) -> None:
        machine.lifetime_s = None
        open_both(gate, machine)
        machine.now = 1e6
        assert gate.watch() == ()
        assert gate.renew([A]).expired == ()


def test_a_vanished_interface_is_left_out_of_the_counters(gate: Gate, machine: Machine) -> None:
    open_both(gate, machine)
    machine.fails = "counters"
    with pytest.raises(GateRefused):
        gate.measure()
    machine.up.clear()
    assert gate.measure().tunnels == ()


def test_counters_are_named_by_session(gate: Gate, machine: Machine) -> None:
    open_both(gate, machine)
    assert [each.session for each in gate.measure().tunnels] == [A, B]


class TestSteering:
    """Port and endpoint of a running tunnel; where it may point is the gate's own decision."""

    def test_a_tunnel_is_moved_and_pointed_in_one_step(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        gate.steer(Steer(A, 50_000, UdpEndpoint("192.0.2.9", 4711)))
        assert machine.clear() == ["steer"]
        (steering,) = machine.steered
        assert (steering.listen_port, steering.endpoint) == (50_000, ("192.0.2.9", 4711))

    def test_the_relay_legs_socket_is_the_one_place_on_loopback(
        self, gate: Gate, machine: Machine
    ) -> None:
        open_both(gate, machine)
        gate.steer(Steer(A, None, UdpEndpoint("127.0.0.1", 4000)))
        with pytest.raises(GateRefused) as refused:
            gate.steer(Steer(A, None, UdpEndpoint("127.0.0.1", 4001)))
        assert refused.value.error is GateError.FORBIDDEN_ADDRESS
        assert len(machine.steered) == 1

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "127.0.0.2",
                "::1",
                "169.254.1.1",
                "fe80::1",
                "224.0.0.1",
                "ff02::1",
                "0.0.0.1",
                "::",
            ),
            *("255.255.255.255", "::ffff:192.0.2.1", "100.64.0.9", "fdc4:9a1e:6b7d::1", "no"),
        ],
    )
    def test_what_is_no_other_machine_is_refused(
        self, gate: Gate, machine: Machine, address: str
    ) -> None:
        open_both(gate, machine)
        with pytest.raises(GateRefused) as refused:
            gate.steer(Steer(A, None, UdpEndpoint(address, 4711)))
        assert refused.value.error is GateError.FORBIDDEN_ADDRESS
        assert machine.steered == []

    def test_a_session_that_is_not_open_cannot_be_steered(self, gate: Gate) -> None:
        gate.prepare(A)
        for act in (lambda: gate.steer(Steer(A, 50_000)), lambda: gate.probe(A)):
            with pytest.raises(GateRefused) as refused:
                act()
            assert refused.value.error is GateError.UNKNOWN_SESSION

    def test_where_wireguard_sends_is_measured(self, gate: Gate, machine: Machine) -> None:
        open_both(gate, machine)
        assert gate.measure().tunnels[0].endpoint == UdpEndpoint("192.0.2.7", 4711)
