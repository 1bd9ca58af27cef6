"""T29 netlink faults: whatever the kernel refuses or loses, the gate closes and says so.

Faults are the real thing: strace makes single system calls of a running rcd-gate fail, with its
WireGuard and its packet filter in the kernel and a session's packets on their way. What is read
back is compared at a size at which the kernel splits its answers.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rcd.gate import confinement
from rcd.gate.gateway import GatewayEnd
from rcd.gate.names import TABLE
from rclib.runtime.logs import get_logger
from rclib.tunnel.gate_client import GateRefused
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.gate_nft import AbsentError, Table, apply
from rclib.tunnel.gate_plan import IPV4, Device, Grant, TunnelPlan, interface_name
from rclib.tunnel.gate_sessions import Gate
from rclib.wire.gate import Allow, Gone, Open, Tampered
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol
from testbed.bed import Testbed
from testbed.kernel_state import generation
from testbed.requirements import why_not
from testbed.topology import Topology
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.host import Host

    Gates = Any  # of conftest.py

pytestmark = pytest.mark.netns

MANY: Final = 400
NOTICED_S: Final = 2.0
ATTACHED_S: Final = 10.0

CALLS: Final = {
    "nft cannot change": ("nft", "sendmsg"),
    "nft cannot read": ("nft", "recvmsg"),
    "the gate cannot ask": ("gate", "sendto"),
    "the gate gets no answer": ("gate", "recvfrom"),
}
"""Who is disturbed, and in which system call (pyroute2 and our own code use send and recv)."""


@contextmanager
def failing(gates: Gates, whose: str, call: str, error: str) -> Iterator[None]:
    """Make a system call of rcd-gate's working thread fail, or of every nft it starts."""
    pid = gates.processes["rcd"].pid
    if whose == "nft":
        # Only nft uses sendmsg and recvmsg; the gate's own threads are there to be followed.
        target = ["--follow-forks", f"--attach={pid}"]
    else:
        (thread,) = {int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()} - {pid}
        target = [f"--attach={thread}"]
    output = gates.bed.directory / "strace"
    inject = [f"--trace={call}", f"--inject={call}:error={error}", f"--output={output}"]
    with (gates.bed.directory / "strace.log").open("w+") as log:
        strace = subprocess.Popen(["strace", *inject, *target], stderr=log)
        try:
            until(lambda: _is_traced(pid, strace), ATTACHED_S, "strace to attach")
            yield
        finally:
            # Killed: the kernel lets go of everybody. When asked to end, strace waits for a thread
            # that is about to start nft, which waits for its child, which waits for strace.
            strace.kill()
            strace.wait(10 * SLOWNESS)
    assert "(INJECTED)" in output.read_text(), "nothing failed; then this proves nothing"


def _is_traced(pid: int, strace: subprocess.Popen[bytes]) -> bool:
    assert strace.poll() is None, "strace cannot attach here"
    status = (each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/status"))
    return any(f"TracerPid:\t{strace.pid}" in each for each in status)


@pytest.fixture
def traced(ready: Gates) -> Gates:
    if shutil.which("strace") is None:
        pytest.skip("the program strace is missing; run: apt-get install strace")
    return ready


def passes_nothing(gates: Gates) -> bool:
    """Whether a packet of the session's that is sent now stays away from the PLC."""
    # What came before may have left half-open connections, whose ends the gateway itself refuses.
    wire = gates.bed.counter("plc", "ip saddr 192.168.1.1 udp dport 7")
    gates.answers(gates.plc, 7, family="udp")
    return bool(wire.packets == 0)


@pytest.mark.both_kernels
class TestFaults:
    """While a session is open and the technician goes on sending."""

    @pytest.mark.parametrize("error", ["ENOBUFS", pytest.param("EPERM", marks=pytest.mark.slow)])
    @pytest.mark.parametrize(("whose", "call"), CALLS.values(), ids=CALLS.keys())
    async def test_every_failing_call_closes_and_is_reported(
        self, traced: Gates, whose: str, call: str, error: str
    ) -> None:
        async with traced.controlled() as pair:
            await pair.open([traced.modbus, traced.echo_udp])
            assert await asyncio.to_thread(traced.answers, traced.plc, 7, family="udp")
            # On an emulated machine a session may be old by now.
            assert await pair.gateway.renew([traced.session("a")]) == ()
            with failing(traced, whose, call, error):
                if call == "sendmsg":
                    # Looking after the rules reads only; the renewal is what changes something.
                    with pytest.raises(GateRefused):
                        await pair.gateway.renew([traced.session("a")])
                else:
                    event = await pair.event(NOTICED_S)
                    assert isinstance(event, Tampered)
                    assert "cannot be read" in event.detail
                assert await asyncio.to_thread(passes_nothing, traced)
            # What could not be removed meanwhile is removed as soon as it can be.
            until(traced.is_clean, NOTICED_S, "the gate to remove the rest")
            traced.assert_nothing_left()
            assert await pair.gateway.renew([traced.session("a")]) == (traced.session("a"),)
            await pair.technician.close(traced.session("a"))
            await pair.open([traced.modbus], letter="b", number=2)
            assert await asyncio.to_thread(traced.answers, traced.plc, 502)

    @pytest.mark.parametrize(("whose", "call"), CALLS.values(), ids=CALLS.keys())
    async def test_a_session_that_cannot_be_built_leaves_nothing(
        self, traced: Gates, whose: str, call: str
    ) -> None:
        async with traced.controlled() as pair:
            await pair.gateway.prepare(traced.session("a"))
            await pair.gateway.measure()  # and what was begun ahead is there
            with failing(traced, whose, call, "ENOBUFS"), pytest.raises(GateRefused):
                await pair.gateway.open(traced.request("a"))
            until(traced.is_clean, NOTICED_S, "the gate to remove what was half built")
            traced.assert_nothing_left()

    async def test_an_interface_deleted_under_us_is_named_and_the_others_live(
        self, ready: Gates
    ) -> None:
        async with ready.controlled() as pair:
            opened, _ = await pair.open([ready.modbus], letter="a", number=1)
            await pair.open([Allow(ready.hmi, Protocol.TCP, 80)], letter="b", number=2)
            ready.gateway.run(["ip", "link", "del", opened.interface], check=True)
            # Measured before or after it was noticed: nobody else's session ends for it.
            measured = await pair.gateway.measure()
            assert [each.session for each in measured] == [ready.session("b")]
            event = await pair.event(NOTICED_S)
            assert event == Gone(
                ready.session("a"), f"its interface {opened.interface} was removed"
            )
            elements = ready.tables(ready.gateway)
            assert "100.64.1.2" not in elements
            assert "100.64.2.2" in elements
            assert await asyncio.to_thread(ready.answers, ready.hmi, 80)


def plans() -> list[TunnelPlan]:
    """Sessions of three grants each."""
    return [plan_of(number) for number in range(MANY)]


def plan_of(number: int) -> TunnelPlan:
    letters = "".join("abcdefghij"[int(digit)] for digit in f"{number:016d}")
    session = SessionId(f"ses_{letters[::-1]}")
    plc = IPv4Address("192.168.1.10")
    grants = (
        Grant(plc, Protocol.TCP, 502),
        Grant(plc, Protocol.UDP, None),
        Grant(plc, Protocol.ICMP_ECHO, None),
    )
    high, low = divmod(number, 100)
    return TunnelPlan(
        session,
        interface_name("rcg", session),
        IPv4Address(f"100.64.{high}.{2 * low}"),
        IPv4Address(f"100.64.{high}.{2 * low + 1}"),
        grants,
        TunnelKey(bytes(32)),
        4000,
        1280,
        0,
        (Device(plc, None, False),),
    )


def expected(sessions: list[TunnelPlan]) -> dict[str, frozenset[str]]:
    elements: dict[str, set[str]] = {"plant": {"lan0"}}
    for plan in sessions:
        for rendered in (confinement.allow_elements(plan), confinement.lasting_elements(plan)):
            for name, each in rendered.items():
                elements.setdefault(name, set()).update(each)
    return {name: frozenset(each) for name, each in elements.items()}


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    """A machine of its own."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build(Topology(plants=(), technicians=())) as bed:
        yield bed.host("cloud")


def inside(host: Host, function: Callable[[], None]) -> None:
    """Run a function of this file on the host; it fails as it does there."""
    script = f"import runpy; runpy.run_path({__file__!r})[{function.__name__!r}]()"
    done = host.run([sys.executable, "-W", "error", "-c", script], timeout_s=60)
    assert done.returncode == 0, done.stderr


def batches() -> None:
    sessions = plans()
    table = Table(TABLE)
    table.install(confinement.table(source_nat=True))
    before = generation()
    apply("".join(confinement.allow(plan, ["lan0"]) for plan in sessions))
    assert generation() == before + 1, "one transaction"
    every = frozenset(expected(sessions))
    assert table.difference(table.read(), expected(sessions), exact=every) is None, (
        "all of it is read back"
    )
    missed = table.difference(table.read(), expected(sessions[:-1]), exact=every)
    assert missed is not None
    assert sessions[-1].interface in missed

    apply(confinement.renew(sessions))
    assert generation() == before + 2
    assert table.difference(table.read(), expected(sessions), exact=every) is None

    # One element has run out, in the middle: nothing of the batch is applied.
    late = sessions[MANY // 2]
    (name, elements), *_ = confinement.allow_elements(late).items()
    apply(f"delete element inet {TABLE} {name} {{ {elements[0]} }}\n")
    state, now = table.read(), generation()
    try:
        apply(confinement.renew(sessions))
    except AbsentError:
        pass
    else:
        raise AssertionError("a late renewal was accepted")
    assert generation() == now
    assert table.read() == state

    # Also where the kernel refuses the last command only.
    foreign = "add element inet rcd_gate nowhere { 1 }\n"
    try:
        apply("".join(confinement.disallow(plan) for plan in sessions) + foreign)
    except AbsentError:
        pass
    else:
        raise AssertionError("a set that is not there was accepted")
    assert table.read() == state
    apply("".join(confinement.disallow(plan) for plan in sessions))
    left = {"plant": frozenset({"lan0"})}
    assert table.difference(table.read(), left, exact=every) is None
    table.remove()


@pytest.mark.slow
def test_four_hundred_sessions_are_one_transaction_and_all_are_read_back(machine: Host) -> None:
    inside(machine, batches)


def interfaces() -> None:
    sessions = plans()
    commands = [f"tuntap add {plan.interface} mode tun" for plan in sessions]
    commands += [f"addr add {p.local}/32 peer {p.peer} dev {p.interface}" for p in sessions]
    commands += [f"link set {plan.interface} up" for plan in sessions]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
    netlink = Netlink()
    mine = {plan.interface for plan in sessions}
    assert set(netlink.links("rcg")) == mine
    addresses = {
        each.interface: each.address.ip
        for each in netlink.addresses()
        if each.address.version == IPV4
    }
    assert {p.interface: addresses.get(p.interface) for p in sessions} == {
        p.interface: p.local for p in sessions
    }
    routes = {(each.interface, each.network.network_address) for each in netlink.routes()}
    assert {(p.interface, p.peer) for p in sessions} <= routes
    netlink.delete_link(sessions[-1].interface)
    assert set(netlink.links("rcg")) == mine - {sessions[-1].interface}


@pytest.mark.slow
def test_four_hundred_interfaces_with_addresses_and_routes_are_all_read_back(
    machine: Host,
) -> None:
    inside(machine, interfaces)


def reconciled() -> None:
    netlink = Netlink()
    end = GatewayEnd(netlink, plant_networks=(IPv4Network("192.168.1.0/24"),))
    gate = Gate(end, netlink, get_logger("t29"), max_sessions=4)
    gate.sweep()
    session = SessionId("ses_aaaaaaaaaaaaaaaa")
    gate.prepare(session)
    allow = (Allow("192.168.1.10", Protocol.TCP, 502),)
    gate.open(
        Open(session, TunnelKey(bytes(31) + b"\1"), "100.64.1.1", "100.64.1.2", 9, allow, 1280)
    )
    before, links = generation(), netlink.links("")
    for _ in range(3):
        assert gate.watch() == ()
    assert generation() == before, "looking after it changes nothing"
    assert netlink.links("") == links
    assert gate.renew([session]).expired == ()
    assert generation() == before + 1
    for _ in range(2):
        gate.close(session)
        assert netlink.links("rcg") == ()
        assert Table(TABLE).read() is None
    for _ in range(2):
        gate.sweep()
        assert gate.watch() == ()


def test_looking_after_the_sessions_changes_nothing_and_closing_twice_is_closing(
    ready: Gates,
) -> None:
    ready.processes["rcd"].stop()
    inside(ready.gateway, reconciled)
    ready.assert_nothing_left()
