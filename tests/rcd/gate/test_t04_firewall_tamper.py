"""T4 firewall-tamper: whoever changes the gateway's packet filter or forwarding ends the session.

Within two seconds, and never "repaired" into open. The record that rcd makes of it is tested in
tests/e2e/test_t04_firewall_tamper.py.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from rcd.gate.names import TABLE
from rclib.tunnel.gate_client import GateRefused
from rclib.wire.gate import Allow, GateError, Gone, Tampered
from rclib.wire.session import Protocol
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    Gates = Any  # of conftest.py

pytestmark = [pytest.mark.netns, pytest.mark.both_kernels]

TAMPERED_S = 2.0
QUIET_S = 3.5
"""After which the gates list only what changes."""

OWN_RULES = [
    "flush ruleset",
    f"delete table inet {TABLE}",
    f"insert rule inet {TABLE} forward accept",
    f"flush chain inet {TABLE} from_tunnel",
    f"add element inet {TABLE} pings4 {{ rcgaaaaaaaaaaaa . 100.64.1.2 . 192.168.1.20 }}",
    f"delete element inet {TABLE} lent4 {{ lan0 }}",
]
FOREIGN_RULES = {
    "accept before ours": "chain c { type filter hook forward priority -300; accept; }",
    "accept after ours": "chain c { type filter hook forward priority -10; accept; }",
    "destination NAT": "chain c { type nat hook prerouting priority dstnat; "
    'iifname "rcg*" dnat ip to 192.168.1.30; }',
    "without tracking": "chain c { type filter hook prerouting priority raw; notrack; }",
    "one jump away": "chain inner { ip daddr 192.168.1.30 accept; }\n"
    "chain c { type filter hook forward priority 5; jump inner; }",
}
HARMLESS = (
    "chain c { type filter hook forward priority 0; policy accept; counter; }\n"
    "chain d { type filter hook input priority 0; tcp dport 22 accept; }\n"
    "chain e { type filter hook forward priority 0; ip saddr 192.0.2.0/24 log drop; }"
)


@pytest.fixture(autouse=True)
def foreign_table(ready: Gates) -> Any:  # noqa: ANN401 -- a generator
    yield
    ready.gateway.run(["nft", "-f", "-"], stdin="add table inet x\ndelete table inet x\n")
    ready.gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=0"], check=True)


def unreached(ready: Gates) -> Any:  # noqa: ANN401 -- a counter of the testbed
    """Count what must not arrive: anything from a tunnel on a device that is not released."""
    return ready.bed.counter("unreleased", "ip saddr { 192.168.1.1, 100.64.0.0/10 }")


async def assert_tampered_and_closed(ready: Gates, pair: Any, began: float) -> None:  # noqa: ANN401
    event = await pair.event(TAMPERED_S + 1.0)
    assert isinstance(event, Tampered)
    assert time.monotonic() - began <= TAMPERED_S * SLOWNESS
    ready.assert_nothing_left()
    with pytest.raises(GateRefused) as refused:
        await pair.gateway.open(ready.request("a"))
    assert refused.value.error is GateError.UNKNOWN_SESSION


@pytest.mark.parametrize("change", OWN_RULES)
async def test_a_change_of_the_gates_own_rules_closes_everything(ready: Gates, change: str) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        began = time.monotonic()
        ready.gateway.run(["nft", change], check=True)
        await assert_tampered_and_closed(ready, pair, began)


@pytest.mark.parametrize("rules", FOREIGN_RULES.values(), ids=FOREIGN_RULES.keys())
async def test_a_foreign_rule_that_decides_closes_everything_and_opens_nothing(
    ready: Gates, rules: str
) -> None:
    stray = unreached(ready)
    async with ready.controlled() as pair:
        await pair.open([ready.modbus], technician_allow=[Allow(ready.unreleased, Protocol.TCP)])
        began = time.monotonic()
        ready.gateway.run(["nft", "-f", "-"], stdin=f"table inet x {{\n{rules}\n}}", check=True)
        ready.technician.run(["ping", "-c1", "-W0.2", ready.unreleased])
        await assert_tampered_and_closed(ready, pair, began)
    assert stray.packets == 0


@pytest.mark.slow
async def test_a_foreign_rule_is_seen_long_after_the_rules_were_looked_at_last(
    ready: Gates,
) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        await pair.assert_silent(QUIET_S)
        began = time.monotonic()
        rules = FOREIGN_RULES["accept after ours"]
        ready.gateway.run(["nft", "-f", "-"], stdin=f"table inet x {{\n{rules}\n}}", check=True)
        await assert_tampered_and_closed(ready, pair, began)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["flush chain inet rcc_gate from_tunnel", "flush ruleset"])
async def test_a_change_of_the_technicians_rules_closes_its_tunnels(
    ready: Gates, change: str
) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        await pair.assert_silent(QUIET_S)
        ready.technician.run(["nft", change], check=True)
        async with asyncio.timeout((TAMPERED_S + 1.0) * SLOWNESS):
            assert isinstance(await anext(pair.technician.events()), Tampered)
        assert ready.interfaces(ready.technician) == ["lo", *ready.technician.interfaces]


async def test_rules_that_decide_nothing_about_tunnels_are_left_alone(ready: Gates) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        ready.gateway.run(["nft", "-f", "-"], stdin=f"table inet x {{\n{HARMLESS}\n}}", check=True)
        await pair.assert_silent(TAMPERED_S + 0.5)
        assert await pair.gateway.renew([ready.session("a")]) == ()


async def test_a_firewall_that_was_there_before_is_the_plants_own(ready: Gates) -> None:
    accept = FOREIGN_RULES["accept before ours"]
    ready.gateway.run(["nft", "-f", "-"], stdin=f"table inet x {{\n{accept}\n}}", check=True)
    stray = unreached(ready)
    async with ready.controlled() as pair:
        await pair.open([ready.modbus], technician_allow=[Allow(ready.unreleased, Protocol.TCP)])
        assert not ready.answers(ready.unreleased, 502)
        await pair.assert_silent(1.5)
    assert stray.packets == 0


async def test_forwarding_that_somebody_switches_on_closes_everything(ready: Gates) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        began = time.monotonic()
        ready.gateway.run(["sysctl", "-q", "net.ipv4.conf.wan0.forwarding=1"], check=True)
        await assert_tampered_and_closed(ready, pair, began)
        assert ready.forwarding("wan0") == "0"


async def test_forwarding_that_is_switched_on_while_idle_is_switched_off_and_reported(
    ready: Gates,
) -> None:
    async with ready.controlled() as pair:
        await pair.gateway.measure()
        began = time.monotonic()
        ready.gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=1"], check=True)
        event = await pair.event(TAMPERED_S)
        assert isinstance(event, Tampered)
        assert "net/ipv4/conf/all/forwarding" in event.detail
        assert time.monotonic() - began <= TAMPERED_S * SLOWNESS
        for interface in ("all", "default", "lan0", "wan0"):
            assert ready.forwarding(interface) == "0"


async def test_a_machine_that_forwards_already_has_to_be_declared_a_router(ready: Gates) -> None:
    """Neither is a plant's router broken, nor a way past the tunnels taken for one."""
    ready.processes["rcd"].stop()
    ready.gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=1"], check=True)
    started = ready.start("rcd")
    assert started.wait(10) == 2
    assert "routes_for_plant = true" in started.log.read_text()
    assert ready.forwarding() == "1"


async def test_a_removed_interface_ends_its_session_only(ready: Gates) -> None:
    async with ready.controlled() as pair:
        opened, _ = await pair.open([ready.modbus], letter="a", number=1)
        await pair.open([Allow(ready.hmi, Protocol.TCP, 80)], letter="b", number=2)
        ready.gateway.run(["ip", "link", "del", opened.interface], check=True)
        event = await pair.event(TAMPERED_S)
        assert isinstance(event, Gone)
        assert event.session == ready.session("a")
        assert ready.answers(ready.hmi, 80)


async def test_a_renewal_does_not_bring_back_what_tampering_ended(ready: Gates) -> None:
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        ready.gateway.run(["nft", "flush ruleset"], check=True)
        await pair.event(TAMPERED_S)
        assert await pair.gateway.renew([ready.session("a")]) == (ready.session("a"),)
        until(ready.is_clean, TAMPERED_S, "nothing to come back")
