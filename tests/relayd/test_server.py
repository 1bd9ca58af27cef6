"""The relay with real sockets and TLS; legs are the ones rcd and rcc use."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_leg import LegState
from rclib.wire import relay as wire
from rclib.wire.identity import Side
from rclib.wire.ids import RelayId, SessionId
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from pathlib import Path

    from tests.relayd.conftest import Authority, Call, Join, Knock, Pair, RunningRelay, StartRelay

OTHER_SESSION = SessionId("ses_" + "b" * 16)
INITIATION = wire.data_header(148) + b"\x01" + bytes(147)
BINARY = aiohttp.WSMsgType.BINARY


def burst(number: int, size: int = 1452, count: int = 11) -> bytes:
    packets = [b"\x04" + bytes([number % 256, n]) + bytes(size - 3) for n in range(count)]
    return wire.data_header(size) + b"".join(packets)


class TestAdmission:
    async def test_a_leg_with_a_token_and_its_key_is_admitted(
        self, relay: RunningRelay, join: Join
    ) -> None:
        leg = await join(relay, Side.GATEWAY)
        await leg.reaches(LegState.ALONE)

    async def test_a_stolen_token_without_its_key_is_refused(
        self, relay: RunningRelay, join: Join, authority: Authority
    ) -> None:
        thief = authority.identities[Side.TECHNICIAN]
        leg = await join(relay, Side.GATEWAY, identity=thief)
        assert await leg.reason() is CloseReason.PROOF_INVALID

    async def test_an_expired_token_is_refused(self, relay: RunningRelay, join: Join) -> None:
        leg = await join(relay, Side.GATEWAY, lasts_s=0)
        assert await leg.reason() is CloseReason.TOKEN_EXPIRED

    async def test_a_token_of_another_relay_is_refused(
        self, relay: RunningRelay, join: Join
    ) -> None:
        leg = await join(relay, Side.GATEWAY, audience=RelayId("relay9"))
        assert await leg.reason() is CloseReason.WRONG_RELAY

    async def test_the_newest_leg_of_a_key_wins_and_the_old_one_is_told(
        self, relay: RunningRelay, join: Join
    ) -> None:
        old = await join(relay, Side.GATEWAY)
        await old.reaches(LegState.ALONE)
        new = await join(relay, Side.GATEWAY)
        await new.reaches(LegState.ALONE)
        assert await old.reason() is CloseReason.REPLACED

    async def test_another_key_cannot_take_a_side(
        self, relay: RunningRelay, join: Join, authority: Authority
    ) -> None:
        held = await join(relay, Side.GATEWAY)
        await held.reaches(LegState.ALONE)
        other = authority.identities[Side.TECHNICIAN]
        token = authority.token(Side.GATEWAY, identity=other)
        leg = await join(relay, Side.GATEWAY, token=token, identity=other)
        assert await leg.reason() is CloseReason.SIDE_TAKEN
        assert held.core.state is LegState.ALONE

    async def test_a_lease_that_is_not_renewed_ends_the_leg(
        self, relay: RunningRelay, join: Join
    ) -> None:
        leg = await join(relay, Side.GATEWAY, lasts_s=2)
        assert await leg.reason() is CloseReason.LEASE_ENDED

    async def test_a_renewed_lease_goes_on(
        self, relay: RunningRelay, join: Join, authority: Authority
    ) -> None:
        renewed = await join(relay, Side.GATEWAY, lasts_s=2)
        left_alone = await join(relay, Side.TECHNICIAN, lasts_s=2)
        await renewed.reaches(LegState.PAIRED)
        renewed.connection.renew(authority.token(Side.GATEWAY))
        assert await left_alone.reason() is CloseReason.LEASE_ENDED
        await renewed.reaches(LegState.ALONE)

    async def test_who_says_nothing_is_closed_in_time(
        self, start_relay: StartRelay, knock: Knock
    ) -> None:
        relay = await start_relay(hello_timeout_s=0.3)
        silent = await knock(relay)
        frame = wire.decode((await silent.receive(timeout=5)).data)
        assert isinstance(frame, wire.Close)
        assert frame.reason is CloseReason.HELLO_TIMEOUT


class TestChannel:
    async def test_bursts_cross_verbatim_in_both_directions(
        self, relay: RunningRelay, pair: Pair
    ) -> None:
        technician, gateway = await pair(relay)
        sent = [burst(n, size=3 + n * 25, count=n % 11 + 1) for n in range(60)]
        for message in sent:
            technician.send(message)
            gateway.send(message)
        for leg in (technician, gateway):
            await leg.receives(sent)

    async def test_a_signal_crosses(self, relay: RunningRelay, pair: Pair) -> None:
        technician, gateway = await pair(relay)
        technician.send(wire.encode(wire.Signal(b"candidate")))
        await gateway.until(lambda: gateway.signals == [b"candidate"])

    async def test_a_handshake_that_came_first_is_delivered(
        self, relay: RunningRelay, join: Join
    ) -> None:
        technician = await join(relay, Side.TECHNICIAN)
        await technician.reaches(LegState.ALONE)
        technician.send(INITIATION)
        gateway = await join(relay, Side.GATEWAY)
        await gateway.until(lambda: gateway.messages == [INITIATION])

    async def test_a_handshake_right_behind_the_proof_is_delivered(
        self, relay: RunningRelay, join: Join
    ) -> None:
        technician = await join(relay, Side.TECHNICIAN)
        await technician.reaches(LegState.PROVED)
        technician.send(INITIATION)
        gateway = await join(relay, Side.GATEWAY)
        await gateway.until(lambda: gateway.messages == [INITIATION])

    async def test_legs_of_different_sessions_never_meet(
        self, relay: RunningRelay, join: Join
    ) -> None:
        here = await join(relay, Side.GATEWAY)
        there = await join(relay, Side.TECHNICIAN, session=OTHER_SESSION)
        for leg in (here, there):
            await leg.reaches(LegState.ALONE)
        assert relay.metric("relayd_channels") <= 2

    async def test_the_partner_is_told_of_coming_and_going(
        self, relay: RunningRelay, pair: Pair, join: Join
    ) -> None:
        technician, gateway = await pair(relay)
        await technician.connection.close()
        await gateway.reaches(LegState.ALONE)
        await join(relay, Side.TECHNICIAN)
        await gateway.reaches(LegState.PAIRED)

    async def test_a_slow_reader_hurts_only_itself(
        self, start_relay: StartRelay, join: Join, pair: Pair
    ) -> None:
        relay = await start_relay(write_deadline_s=0.5)
        technician, gateway = await pair(relay)
        slow = await join(relay, Side.TECHNICIAN, session=OTHER_SESSION)
        flood = await join(relay, Side.GATEWAY, session=OTHER_SESSION)
        await flood.reaches(LegState.PAIRED)
        assert slow.connection._transport is not None  # noqa: SLF001 - the network's part
        slow.connection._transport.underlying_transport.pause_reading()  # noqa: SLF001
        number = 0
        while flood.core.state is LegState.PAIRED:
            flood.send(burst(number))
            if number % 10 == 0:
                gateway.send(burst(number, count=1))
            number += 1
            await asyncio.sleep(0)
        sent = len(range(0, number, 10))
        await technician.until(lambda: len(technician.messages) == sent)
        assert flood.core.state is LegState.ALONE
        slow.connection._transport.underlying_transport.resume_reading()  # noqa: SLF001
        await slow.reaches(LegState.ENDED)
        assert relay.metric("relayd_closed_legs_total", reason="too_slow") == 1
        await relay.stop()
        dropped = relay.metric("relayd_dropped_messages_total", reason="queue_full")
        assert dropped > 0

    async def test_what_a_reader_catches_up_with_is_whole_and_in_order(
        self, relay: RunningRelay, pair: Pair
    ) -> None:
        technician, gateway = await pair(relay)
        assert gateway.connection._transport is not None  # noqa: SLF001 - the network's part
        transport = gateway.connection._transport.underlying_transport  # noqa: SLF001
        transport.pause_reading()
        sent = [burst(n) for n in range(250)]
        for message in sent:
            technician.send(message)
            await asyncio.sleep(0.001)
        transport.resume_reading()
        technician.send(last := burst(251, count=1))
        await gateway.until(lambda: last in gateway.messages)
        order = [sent.index(message) for message in gateway.messages[:-1]]
        assert order == sorted(order)
        assert order[:3] == [0, 1, 2]


class TestBadInput:
    @pytest.mark.parametrize(
        "message",
        [b"", b"\x99", b"\x10\x00\x00a", b"\x01", b"\x01\x01" + b"a" * 5000, b"\x20" + bytes(8)],
    )
    async def test_a_malformed_message_is_answered_with_bad_frame(
        self, relay: RunningRelay, knock: Knock, message: bytes
    ) -> None:
        opened = await knock(relay)
        await opened.send_bytes(message)
        frame = wire.decode((await opened.receive(timeout=5)).data)
        assert isinstance(frame, wire.Close)
        assert frame.reason is CloseReason.BAD_FRAME
        assert (await opened.receive(timeout=5)).data == aiohttp.WSCloseCode.PROTOCOL_ERROR

    async def test_text_is_not_understood(self, relay: RunningRelay, knock: Knock) -> None:
        opened = await knock(relay)
        await opened.send_str("hello")
        frame = wire.decode((await opened.receive(timeout=5)).data)
        assert isinstance(frame, wire.Close)
        assert frame.reason is CloseReason.BAD_FRAME
        assert (await opened.receive(timeout=5)).data == aiohttp.WSCloseCode.UNSUPPORTED_DATA

    async def test_an_oversize_message_is_not_read(self, relay: RunningRelay, knock: Knock) -> None:
        opened = await knock(relay)
        await opened.send_bytes(bytes(wire.MAX_MESSAGE_BYTES + 1))
        closed = await opened.receive(timeout=5)
        assert closed.type is aiohttp.WSMsgType.CLOSE
        assert closed.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG

    async def test_a_malformed_burst_ends_only_its_own_leg(
        self, relay: RunningRelay, pair: Pair
    ) -> None:
        technician, gateway = await pair(relay)
        technician.send(burst(1))
        technician.send(b"\x10\xff\xffabc")
        assert await technician.reason() is CloseReason.BAD_FRAME
        await gateway.reaches(LegState.ALONE)
        assert gateway.messages == [burst(1)]

    async def test_a_ping_of_the_websocket_is_answered(
        self, relay: RunningRelay, knock: Knock
    ) -> None:
        opened = await knock(relay)
        await opened.ping(b"there?")
        answer = await opened.receive(timeout=5)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")

    async def test_compression_is_not_negotiated(self, relay: RunningRelay, knock: Knock) -> None:
        opened = await knock(relay, compress=15)
        assert opened.compress == 0

    @pytest.mark.parametrize("path", ["/", "/relay/x", "/relay?x=1", "/metrics"])
    async def test_any_other_path_is_not_found(
        self, relay: RunningRelay, knock: Knock, path: str
    ) -> None:
        relay.url = relay.url.removesuffix("/relay") + path
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await knock(relay)
        assert caught.value.status == 404

    async def test_a_browser_is_refused(self, relay: RunningRelay, knock: Knock) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await knock(relay, origin="https://relay.test")
        assert caught.value.status == 404

    async def test_old_tls_is_refused(
        self, relay: RunningRelay, certificate: tuple[Path, Path], call: Call
    ) -> None:
        old = ssl.create_default_context(cafile=str(certificate[0]))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await call(relay.port, tls=old)


class TestLimits:
    async def test_an_address_may_knock_only_so_often_at_once(
        self, start_relay: StartRelay, knock: Knock
    ) -> None:
        relay = await start_relay(max_unadmitted_per_address=3)
        for _ in range(3):
            await knock(relay)
        with pytest.raises(aiohttp.ClientError):
            await knock(relay)
        assert relay.metric("relayd_refused_accepts_total", reason="address") == 1

    async def test_who_is_admitted_does_not_count(
        self, start_relay: StartRelay, join: Join
    ) -> None:
        relay = await start_relay(max_unadmitted_per_address=1)
        for number in range(3):
            session = SessionId("ses_" + "cdefgh"[number] * 16)
            leg = await join(relay, Side.GATEWAY, session=session)
            await leg.reaches(LegState.ALONE)

    async def test_who_is_gone_does_not_count_even_before_any_tls(
        self, start_relay: StartRelay, join: Join, call: Call
    ) -> None:
        relay = await start_relay(max_unadmitted_per_address=1)
        for _ in range(5):
            reader, writer = await call(relay.port)
            writer.write(b"no TLS at all\r\n\r\n")
            await reader.read()
        leg = await join(relay, Side.GATEWAY)
        await leg.reaches(LegState.ALONE)

    @pytest.mark.parametrize("plaintext", [True, False])
    async def test_a_dripping_upgrade_is_cut_off(
        self, start_relay: StartRelay, call: Call, *, plaintext: bool
    ) -> None:
        relay = await start_relay(insecure_plaintext=plaintext, upgrade_timeout_s=0.3)
        context = None if plaintext else relay.tls
        reader, writer = await call(relay.port, tls=context)
        writer.write(b"GET /relay HTTP/1.1\r\nHost: relay\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""

    async def test_the_rate_of_accepts_is_bounded(
        self, start_relay: StartRelay, call: Call
    ) -> None:
        relay = await start_relay(
            insecure_plaintext=True,
            accept_rate_per_s=1,
            accept_burst=5,
            max_unadmitted_per_address=100,
        )
        connections = [await call(relay.port) for _ in range(8)]
        for reader, _ in connections[6:]:
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        assert relay.metric("relayd_refused_accepts_total", reason="rate") >= 2


class TestEnd:
    async def test_the_relay_says_when_to_come_back_and_goodbye(
        self, relay: RunningRelay, pair: Pair
    ) -> None:
        legs = await pair(relay)
        await relay.stop()
        for leg in legs:
            assert await leg.reason() is CloseReason.SHUTTING_DOWN
            assert leg.core.end is not None
            assert 1 <= leg.core.end.wait_s <= 6

    async def test_who_does_not_read_does_not_keep_the_relay(
        self, start_relay: StartRelay, pair: Pair
    ) -> None:
        relay = await start_relay(write_deadline_s=60)
        technician, gateway = await pair(relay)
        assert gateway.connection._transport is not None  # noqa: SLF001 - the network's part
        gateway.connection._transport.underlying_transport.pause_reading()  # noqa: SLF001
        for number in range(200):
            technician.send(burst(number))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await relay.stop()

    async def test_nothing_is_left_behind(
        self, start_relay: StartRelay, pair: Pair, join: Join
    ) -> None:
        relay = await start_relay()
        technician, gateway = await pair(relay)
        stranger = await join(relay, Side.GATEWAY, identity=Identity(Ed25519PrivateKey.generate()))
        assert await stranger.reason() is CloseReason.PROOF_INVALID
        await technician.connection.close()
        await gateway.connection.close()
        await relay.stop()
        for gauge in ("relayd_legs", "relayd_channels", "relayd_pending_connections"):
            assert relay.metric(gauge) == 0, gauge


async def test_an_ipv6_relay_serves_ipv4_when_it_listens_everywhere(
    start_relay: StartRelay, call: Call
) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    relay = await start_relay(listen="[::]:0")
    for host in ("127.0.0.1", "::1"):
        await call(relay.port, tls=None, host=host)
