"""1:1 NAT between both gates, against the real kernel: the right device, whatever it is called."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rclib.wire.gate import Allow
from rclib.wire.session import Protocol
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    Gates = Any  # of conftest.py

pytestmark = [pytest.mark.netns, pytest.mark.both_kernels]

PLC, VIRTUAL_PLC = "192.168.1.10", "100.96.0.10"
HMI, VIRTUAL_HMI = "192.168.1.20", "100.96.0.20"
MODBUS = Allow(PLC, Protocol.TCP, 502, VIRTUAL_PLC)


@contextmanager
def in_a_lan_like_the_plants(ready: Gates) -> Iterator[None]:
    """The technician's computer has 192.168.1.77/24 on an interface of its own."""
    run = ready.technician.run
    run(["ip", "link", "add", "office", "type", "bridge"], check=True)
    try:
        run(["ip", "address", "add", "192.168.1.77/24", "dev", "office"], check=True)
        run(["ip", "link", "set", "office", "up"], check=True)
        yield
    finally:
        run(["ip", "link", "del", "office"], check=True)


def way_to(ready: Gates, address: str) -> str:
    return str(ready.technician.run(["ip", "route", "get", address], check=True).stdout)


async def test_a_device_answers_under_both_its_addresses(ready: Gates) -> None:
    async with ready.controlled() as pair:
        await pair.open([MODBUS])
        (tunnel,) = await pair.technician.measure()
        assert tunnel.reach == (PLC,)
        assert await asyncio.to_thread(ready.answers, PLC, 502)
        assert await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 502)
        assert not await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 4840)


async def test_a_device_that_is_called_like_a_neighbour_is_reached_by_its_virtual_address(
    ready: Gates,
) -> None:
    with in_a_lan_like_the_plants(ready):
        neighbours = ready.bed.counter("technician", "oifname rct* ip daddr 192.168.1.0/24")
        async with ready.controlled() as pair:
            await pair.open([MODBUS])
            (tunnel,) = await pair.technician.measure()
            assert tunnel.reach == (VIRTUAL_PLC,)
            assert await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 502)
            assert "office" in way_to(ready, PLC)
            assert not await asyncio.to_thread(ready.answers, PLC, 502)
        assert neighbours.packets == 0


async def test_a_network_that_is_joined_later_is_not_led_into_the_tunnel_either(
    ready: Gates,
) -> None:
    async with ready.controlled() as pair:
        await pair.open([MODBUS])
        assert "rct" in way_to(ready, PLC)
        with in_a_lan_like_the_plants(ready):
            await asyncio.to_thread(
                until, lambda: "office" in way_to(ready, PLC), 3.0, "the tunnel to give way"
            )
            (tunnel,) = await pair.technician.measure()
            assert tunnel.reach == (VIRTUAL_PLC,)
            assert await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 502)


async def test_a_network_the_company_calls_its_own_is_not_led_into_the_tunnel(
    ready: Gates,
) -> None:
    ready.processes["rcc"].stop()
    ready.start("rcc", 'own_networks = ["192.168.0.0/16"]')
    ready.ensure_ready()
    try:
        async with ready.controlled() as pair:
            await pair.open([MODBUS])
            (tunnel,) = await pair.technician.measure()
            assert tunnel.reach == (VIRTUAL_PLC,)
            assert "rct" not in way_to(ready, PLC)
    finally:
        ready.processes["rcc"].stop()


async def test_a_virtual_address_leads_nowhere_but_to_what_was_released(ready: Gates) -> None:
    """Also for a client that sends what it likes: to another device's, and to nobody's."""
    lan = ready.bed.counter("plant_switch", "ip saddr 192.168.1.1 ip daddr != 192.168.1.10")
    wide = [MODBUS, Allow(HMI, Protocol.TCP, 80, VIRTUAL_HMI)]
    wide.append(Allow(PLC, Protocol.TCP, 502, "100.96.0.99"))
    async with ready.controlled() as pair:
        await pair.open([MODBUS], technician_allow=wide)
        assert await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 502)
        assert not await asyncio.to_thread(ready.answers, VIRTUAL_HMI, 80)
        assert not await asyncio.to_thread(ready.answers, "100.96.0.99", 502)
    assert lan.packets == 0


async def test_a_device_can_be_made_to_see_the_technicians_link_address(ready: Gates) -> None:
    plc = ready.bed.host("plc")
    link = ready.bed.counter("plc", "ip saddr 100.64.1.2 tcp dport 502")
    gateway = ready.bed.counter("plc", "ip saddr 192.168.1.1 tcp dport { 502, 4840 }")
    route = ["100.64.0.0/11", "via", "192.168.1.1"]
    plc.run(["ip", "route", "add", *route], check=True)
    try:
        async with ready.controlled() as pair:
            await pair.open([Allow(PLC, Protocol.TCP, 502, VIRTUAL_PLC, source_nat=False)])
            assert await asyncio.to_thread(ready.answers, VIRTUAL_PLC, 502)
            assert await asyncio.to_thread(ready.answers, PLC, 502)
    finally:
        plc.run(["ip", "route", "del", *route], check=True)
    assert link.packets > 0
    assert gateway.packets == 0
