"""The gateway's gate against the real kernel: what passes, what does not, and what is left."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from rclib.tunnel.gate_client import GateUnavailable
from rclib.wire.gate import LIFETIME_S, Allow, Gone, Tampered
from rclib.wire.session import Protocol
from testbed.streams import await_silence, is_silent
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    Gates = Any  # of conftest.py

pytestmark = [pytest.mark.netns, pytest.mark.both_kernels]

CLOSED_S = 2.0
TAMPERED_S = 2.0


class TestPassing:
    async def test_what_was_released_answers(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus, ready.echo_udp, ready.ping])
            assert await asyncio.to_thread(ready.answers, ready.plc, 502)
            assert await asyncio.to_thread(ready.answers, ready.plc, 7, family="udp")
            assert await asyncio.to_thread(ready.pings, ready.plc)
            (tunnel,) = await pair.gateway.measure()
        assert tunnel.received_bytes > 0
        assert tunnel.sent_bytes > 0
        assert tunnel.handshake_age_s is not None

    async def test_all_ports_of_a_protocol_can_be_released(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([Allow(ready.plc, Protocol.TCP)])
            assert await asyncio.to_thread(ready.answers, ready.plc, 502)
            assert await asyncio.to_thread(ready.answers, ready.plc, 4840)
            assert not await asyncio.to_thread(ready.answers, ready.plc, 7, family="udp")

    async def test_a_device_sees_the_gateways_own_address(self, ready: Gates) -> None:
        seen = ready.bed.counter("plc", "ip saddr 192.168.1.1 tcp dport 502")
        strange = ready.bed.counter("plc", "ip saddr 100.64.0.0/10")
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            assert await asyncio.to_thread(ready.answers, ready.plc, 502)
        assert seen.packets > 0
        assert strange.packets == 0

    async def test_segments_are_clamped_in_both_directions(self, ready: Gates) -> None:
        to_plc = ready.bed.counter("plc", "tcp flags syn tcp option maxseg size <= 1240")
        from_plc = ready.bed.counter(
            "technician", "iifname rct* tcp flags syn tcp option maxseg size <= 1240"
        )
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            assert await asyncio.to_thread(ready.answers, ready.plc, 502)
        assert to_plc.packets > 0
        assert from_plc.packets > 0

    async def test_a_device_that_refuses_is_heard(self, ready: Gates) -> None:
        """An ICMP error about a released flow passes, so that nobody waits for a timeout."""
        async with ready.controlled() as pair:
            await pair.open([Allow(ready.plc, Protocol.UDP, 9)])
            errors = ready.bed.counter(
                "technician", "iifname rct* icmp type destination-unreachable"
            )
            assert not await asyncio.to_thread(ready.answers, ready.plc, 9, family="udp")
            assert errors.packets == 1


class TestBlocking:
    """With a client that routes everything into the tunnel: only the gateway decides."""

    async def test_nothing_but_the_released_tuples_reaches_the_plant(self, ready: Gates) -> None:
        lan = ready.bed.counter(
            "plant_switch",
            "meta l4proto { tcp, udp, icmp } ip saddr 192.168.1.1 ip daddr != { 192.168.1.10 }",
        )
        wrong_port = ready.bed.counter("plc", "ip saddr 192.168.1.1 tcp dport != 502")
        wrong_protocol = ready.bed.counter("plc", "ip saddr 192.168.1.1 meta l4proto { udp, icmp }")
        wide = [Allow(each, Protocol.TCP) for each in (ready.plc, ready.hmi, ready.unreleased)]
        async with ready.controlled() as pair:
            await pair.open([ready.modbus], technician_allow=wide)

            def knock() -> None:
                assert ready.answers(ready.plc, 502)
                assert not ready.answers(ready.plc, 4840)
                assert not ready.answers(ready.plc, 7, family="udp")
                assert not ready.answers(ready.hmi, 80)
                assert not ready.answers(ready.unreleased, 502)
                assert not ready.pings(ready.plc)
                assert not ready.pings(ready.hmi)

            await asyncio.to_thread(knock)
        assert (lan.packets, wrong_port.packets, wrong_protocol.packets) == (0, 0, 0)

    async def test_the_gateway_itself_stays_silent(self, ready: Gates) -> None:
        wide = [Allow(each, Protocol.TCP) for each in ("192.168.1.1", "172.16.10.2")]
        ready.gateway.popen(["python3", "-m", "http.server", "8080"], name="service")
        ready.gateway.wait_port(8080)
        reply = ready.bed.counter("technician", "iifname rct* meta l4proto { tcp, udp, icmp }")
        async with ready.controlled() as pair:
            await pair.open([ready.modbus], technician_allow=[ready.modbus, *wide])

            def knock() -> None:
                for address in ("192.168.1.1", "172.16.10.2", "100.64.1.1"):
                    assert not ready.answers(address, 8080)
                    assert not ready.pings(address)

            await asyncio.to_thread(knock)
        assert reply.packets == 0

    async def test_a_session_cannot_use_what_another_was_given(self, ready: Gates) -> None:
        """Neither with its own address nor, because of cryptokey routing, with the other's."""
        reached = ready.bed.counter("plc", "ip saddr 192.168.1.1 tcp dport 502")
        async with ready.controlled() as pair:
            await pair.open([ready.modbus], letter="a", number=1)
            _, other = await pair.open([Allow(ready.hmi, Protocol.TCP)], letter="b", number=2)
            for source in ("100.64.2.2", "100.64.1.2"):
                ready.technician.run(
                    ["ip", "route", "replace", ready.plc, "dev", other.interface, "src", source],
                    check=True,
                )
                assert not await asyncio.to_thread(ready.answers, ready.plc, 502)
        assert reached.packets == 0

    async def test_the_plant_reaches_no_technician_and_no_other_network(self, ready: Gates) -> None:
        """The gateway forwards for tunnels only, although its plant interface forwards now."""
        ready.bed.host("plc").run(["ip", "route", "add", "default", "via", "192.168.1.1"])
        tunnel = ready.bed.counter("technician", "iifname rct* ip saddr 192.168.1.10")
        office = ready.bed.counter("plant_nat", "ip saddr 192.168.1.10")
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            assert ready.forwarding() == "1"
            for address in ("100.64.1.2", "172.16.10.1"):
                ready.bed.host("plc").run(["ping", "-c1", "-W0.4", address])
        ready.bed.host("plc").run(["ip", "route", "del", "default"])
        assert (tunnel.packets, office.packets) == (0, 0)

    async def test_a_gateway_that_routes_for_its_plant_keeps_doing_so(self, ready: Gates) -> None:
        plc = ready.bed.host("plc")
        plc.run(["ip", "route", "add", "default", "via", "192.168.1.1"])
        ready.processes["rcd"].stop()
        ready.gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=1"], check=True)
        ready.start("rcd", "routes_for_plant = true")
        ready.ensure_ready()
        office = ready.bed.counter("plant_nat", "ip saddr 192.168.1.10")
        try:
            async with ready.controlled() as pair:
                await pair.open([ready.modbus])
                plc.run(["ping", "-c1", "-W0.4", "172.16.10.1"])
                await pair.gateway.close(ready.session("a"))
                assert ready.forwarding() == "1"
        finally:
            ready.processes["rcd"].stop()
            ready.gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=0"], check=True)
            plc.run(["ip", "route", "del", "default"])
        assert office.packets == 1


class TestClosing:
    @pytest.mark.parametrize("kind", ["tcp", "udp"])
    async def test_an_open_stream_dies_with_its_session(self, ready: Gates, kind: str) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.echo_tcp, ready.echo_udp])
            port = {"tcp": "4840", "udp": "7"}[kind]
            stream = ready.technician.tool("stream", kind, ready.plc, port)
            stream.wait_message("answer")
            began = time.monotonic()
            await pair.gateway.close(ready.session("a"))
            assert time.monotonic() - began < CLOSED_S * SLOWNESS
            after = ready.bed.counter("plc", "ip saddr 192.168.1.1")
            await_silence(stream, CLOSED_S)
            assert after.packets == 0
            ready.assert_nothing_left()
            stream.stop()

    async def test_a_closed_session_leaves_the_other_one_alone(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus], letter="a", number=1)
            await pair.open([Allow(ready.hmi, Protocol.TCP, 80)], letter="b", number=2)
            await pair.gateway.close(ready.session("a"))
            assert not await asyncio.to_thread(ready.answers, ready.plc, 502)
            assert await asyncio.to_thread(ready.answers, ready.hmi, 80)
            await pair.gateway.close_all()
            ready.assert_nothing_left()

    async def test_losing_the_controlling_connection_closes_everything(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
        until(ready.is_clean, CLOSED_S, "the gate to close")
        ready.assert_nothing_left()

    async def test_the_end_of_the_gate_closes_everything(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            ready.processes["rcd"].stop()
            ready.assert_nothing_left()
            with pytest.raises(GateUnavailable):
                await pair.gateway.measure()

    async def test_a_killed_gate_takes_the_tunnel_with_it(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            opened, _ = await pair.open([ready.modbus])
            if opened.backend == "kernel":
                # Nobody moves packets any more but the kernel, and it asks the allow-set.
                assert opened.interface in ready.interfaces(ready.gateway)
                until(
                    lambda: not ready.answers(ready.plc, 502),
                    LIFETIME_S,
                    "the allow-set to run out",
                )
                assert ready.command("rcd", "close").returncode == 0
                ready.assert_nothing_left()
                return
            ready.processes["rcd"].kill()
            until(
                lambda: opened.interface not in ready.interfaces(ready.gateway),
                CLOSED_S,
                "the interface to vanish",
            )
            assert ready.command("rcd", "close").returncode == 0
            ready.assert_nothing_left()

    async def test_a_gate_that_starts_removes_what_a_killed_one_left(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            ready.processes["rcd"].kill()
        assert ready.forwarding() == "1"
        ready.ensure_ready()
        ready.assert_nothing_left()

    async def test_close_from_the_command_line_overrules_a_running_gate(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            assert ready.command("rcd", "close").returncode == 0
            assert not await asyncio.to_thread(ready.answers, ready.plc, 502)
            # Whether the gate misses the rules or the interface first is a matter of timing.
            assert isinstance(await pair.event(TAMPERED_S), Tampered | Gone)
            ready.assert_nothing_left()


class TestDeadMan:
    async def test_the_kernel_closes_when_nobody_renews_and_late_renewal_changes_nothing(
        self, ready: Gates
    ) -> None:
        """With gate and client frozen there is no process that could close anything."""
        async with ready.controlled() as pair:
            await pair.open([ready.echo_udp])
            stream = ready.technician.tool("stream", "udp", ready.plc, "7")
            stream.wait_message("answer")
            assert await pair.gateway.renew([ready.session("a")]) == ()
            gate = ready.processes["rcd"]
            gate.send_signal(signal.SIGSTOP)
            frozen_ms = time.time() * 1000
            try:
                open_ms = await_silence(stream, 16.0) - frozen_ms
                assert 13_000 < open_ms <= 16_000, "something else closed it, or nothing"
                after = ready.bed.counter("plc", "ip saddr 192.168.1.1")
            finally:
                gate.send_signal(signal.SIGCONT)
            assert await pair.gateway.renew([ready.session("a")]) == (ready.session("a"),)
            assert not await asyncio.to_thread(ready.answers, ready.plc, 7, family="udp")
            assert after.packets == 0
            ready.assert_nothing_left()
            stream.stop()

    @pytest.mark.slow
    async def test_renewed_sessions_live_on(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.echo_udp])
            stream = ready.technician.tool("stream", "udp", ready.plc, "7")
            stream.wait_message("answer")
            for _ in range(4):
                await asyncio.sleep(5)
                assert await pair.gateway.renew([ready.session("a")]) == ()
                assert not is_silent(stream)
            stream.stop()

    @pytest.mark.slow
    async def test_the_gate_itself_removes_a_session_nobody_renewed(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus])
            event = await pair.event(18.0)
            assert event == Gone(ready.session("a"), "it was not renewed for 15 s")
            ready.assert_nothing_left()

    async def test_an_expired_session_does_not_hold_up_the_others(self, ready: Gates) -> None:
        async with ready.controlled() as pair:
            await pair.open([ready.modbus], letter="a", number=1)
            await pair.open([Allow(ready.hmi, Protocol.TCP, 80)], letter="b", number=2)
            element = f"rcg{'a' * 12} . 100.64.1.2 . {ready.plc} . 6 . 502"
            ready.gateway.run(
                ["nft", f"delete element inet rcd_gate ports4 {{ {element} }}"], check=True
            )
            both = [ready.session("a"), ready.session("b")]
            assert await pair.gateway.renew(both) == (ready.session("a"),)
            assert await asyncio.to_thread(ready.answers, ready.hmi, 80)
