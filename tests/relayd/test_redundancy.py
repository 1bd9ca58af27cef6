"""Two tunnel ends over real relays: datagrams, failover, coming back."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.logs import get_logger
from rclib.tunnel.relay_leg import LegState
from rclib.tunnel.relay_set import LegChanged, RelaySet, RelayState
from rclib.tunnel.tunnel_end import DROP_PLACES
from rclib.tunnel.uplink import Uplink
from rclib.wire import relay as wire
from rclib.wire.control import RelayLeg
from rclib.wire.identity import Side
from rclib.wire.ids import RelayId
from rclib.wire.relay import CloseReason
from tests.relayd.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rclib.tunnel.tunnel_end import TunnelEnd
    from tests.relayd.conftest import Authority, Join, OpenEnd, RunningRelay, StartRelay

INITIATION = b"\x01" + bytes(147)
FIRST, SECOND = RelayId("relay0"), RelayId("relay1")
PATIENCE_S = 10


@contextmanager
def wireguard(end: TunnelEnd, endpoint_port: int) -> Iterator[socket.socket]:
    """A plain UDP socket in WireGuard's place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind(("127.0.0.1", 0))
        made.connect(("127.0.0.1", endpoint_port))
        end.wireguard_listens(made.getsockname()[1])
        yield made


async def received(by: socket.socket, count: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        return [await loop.sock_recv(by, 4096) for _ in range(count)]


async def arrives(packet: bytes, by: socket.socket, send: Callable[[bytes], object]) -> None:
    """Send again and again, as WireGuard's users do, until it arrives."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            send(packet)
            try:
                async with asyncio.timeout(0.1):
                    while await loop.sock_recv(by, 4096) != packet:
                        pass
            except TimeoutError:
                continue
            return


class TestDatagrams:
    async def test_they_cross_both_ways_unchanged_and_in_order(
        self, relay: RunningRelay, open_end: OpenEnd
    ) -> None:
        technician, technician_port = await open_end(Side.TECHNICIAN, relay)
        gateway, gateway_port = await open_end(Side.GATEWAY, relay)
        with (
            wireguard(technician, technician_port) as left,
            wireguard(gateway, gateway_port) as right,
        ):
            left.send(INITIATION)  # before any leg is up
            assert await received(right, 1) == [INITIATION]
            for sender, receiver in ((left, right), (right, left)):
                sent = [bytes([4, n % 256]) + bytes(1200 + n % 3) for n in range(500)]
                for start in range(0, len(sent), 50):
                    for packet in sent[start : start + 50]:
                        sender.send(packet)
                    assert await received(receiver, 50) == sent[start : start + 50]

    async def test_the_first_handshake_waits_for_the_partners_leg(
        self, relay: RunningRelay, open_end: OpenEnd
    ) -> None:
        technician, port = await open_end(Side.TECHNICIAN, relay)
        with wireguard(technician, port) as left:
            left.send(b"\x04data are not kept")
            left.send(INITIATION)
            await asyncio.sleep(0.2)  # the technician's leg is up and alone by then
            gateway, gateway_port = await open_end(Side.GATEWAY, relay)
            with wireguard(gateway, gateway_port) as right:
                assert await received(right, 1) == [INITIATION]


class TestRedundancy:
    async def test_when_a_relay_ends_the_next_one_carries(
        self, start_relay: StartRelay, open_end: OpenEnd
    ) -> None:
        relays = [await start_relay(name) for name in (FIRST, SECOND)]
        technician, technician_port = await open_end(Side.TECHNICIAN, *relays)
        gateway, gateway_port = await open_end(Side.GATEWAY, *relays)
        with (
            wireguard(technician, technician_port) as left,
            wireguard(gateway, gateway_port) as right,
        ):
            await arrives(b"\x04over the first", right, left.send)
            before = asyncio.get_running_loop().time()
            await relays[0].stop()
            await arrives(b"\x04over the second", right, left.send)
            await arrives(b"\x04and back", left, right.send)
            assert asyncio.get_running_loop().time() - before < 5

    @pytest.mark.slow
    async def test_a_relay_that_comes_back_is_used_again(
        self, start_relay: StartRelay, open_end: OpenEnd
    ) -> None:
        relay = await start_relay(FIRST)
        technician, technician_port = await open_end(Side.TECHNICIAN, relay)
        gateway, gateway_port = await open_end(Side.GATEWAY, relay)
        with (
            wireguard(technician, technician_port) as left,
            wireguard(gateway, gateway_port) as right,
        ):
            await arrives(b"\x04before", right, left.send)
            await relay.stop()
            await start_relay(FIRST, listen=f"127.0.0.1:{relay.port}")
            await arrives(b"\x04after", right, left.send)


class Watched:
    """A relay set and what it reported."""

    def __init__(self, authority: Authority, relay: RunningRelay, *legs: RelayLeg) -> None:
        self.changes: list[LegChanged] = []
        self._news = asyncio.Event()
        self.set = RelaySet(
            legs,
            authority.identities[Side.GATEWAY].sign,
            Uplink(relay.tls),
            get_logger("test"),
            lambda _segment, _packets: None,
            on_change=self._changed,
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def ends(self) -> list[CloseReason | None]:
        return [change.end.reason for change in self.changes if change.end is not None]

    def _changed(self, change: LegChanged) -> None:
        self.changes.append(change)
        self._news.set()


class TestRelaySet:
    async def test_its_state_and_its_legs_news_can_be_watched(
        self, relay: RunningRelay, authority: Authority, join: Join
    ) -> None:
        watched = Watched(authority, relay, relay.leg(Side.GATEWAY))
        assert watched.set.state is RelayState.CONNECTING
        watched.set.start()
        await watched.until(lambda: watched.set.state is RelayState.ALONE)
        technician = await join(relay, Side.TECHNICIAN)
        await watched.until(lambda: watched.set.state is RelayState.PAIRED)
        assert watched.set.active == FIRST
        assert watched.set.paired.is_set()
        assert watched.set.send_signal(b"candidate")
        await technician.until(lambda: technician.signals == [b"candidate"])
        await watched.set.close()
        await watched.set.close()
        states = [change.state for change in watched.changes]
        assert states == [LegState.PROVED, LegState.ALONE, LegState.PAIRED, LegState.ENDED]

    async def test_a_refused_token_waits_for_a_fresh_one(
        self, relay: RunningRelay, authority: Authority
    ) -> None:
        stale = RelayLeg(relay.name, relay.url, authority.token(Side.GATEWAY, lasts_s=0))
        watched = Watched(authority, relay, stale)
        watched.set.start()
        await watched.until(lambda: watched.ends() == [CloseReason.TOKEN_EXPIRED])
        watched.set.renew((relay.leg(Side.GATEWAY),))
        await watched.until(lambda: watched.set.state is RelayState.ALONE)
        await watched.set.close()

    async def test_who_was_replaced_does_not_fight(
        self, relay: RunningRelay, authority: Authority, join: Join
    ) -> None:
        watched = Watched(authority, relay, relay.leg(Side.GATEWAY))
        watched.set.start()
        await watched.until(lambda: watched.set.state is RelayState.ALONE)
        newer = await join(relay, Side.GATEWAY)
        await watched.until(lambda: watched.ends() == [CloseReason.REPLACED])
        await asyncio.sleep(1.5)  # longer than the first backoff
        assert newer.core.state is LegState.ALONE
        await watched.set.close()

    async def test_a_renewal_reaches_the_relay(
        self, relay: RunningRelay, authority: Authority
    ) -> None:
        short = RelayLeg(relay.name, relay.url, authority.token(Side.GATEWAY, lasts_s=2))
        watched = Watched(authority, relay, short)
        watched.set.start()
        await watched.until(lambda: watched.set.state is RelayState.ALONE)
        watched.set.renew((relay.leg(Side.GATEWAY),))
        await asyncio.sleep(2.5)  # past the end of the first token
        assert watched.set.state is RelayState.ALONE
        await watched.set.close()

    async def test_without_a_partner_data_are_dropped_and_counted(
        self, relay: RunningRelay, authority: Authority
    ) -> None:
        watched = Watched(authority, relay, relay.leg(Side.GATEWAY))
        assert not watched.set.send(wire.data_header(4) + b"\x04abc")
        assert watched.set.send(wire.data_header(148) + INITIATION)
        assert watched.set.dropped_messages == 1
        await watched.set.close()

    async def test_a_relay_that_is_not_there_is_tried_again(
        self, relay: RunningRelay, authority: Authority
    ) -> None:
        nobody = RelayLeg(SECOND, "wss://127.0.0.1:1/relay", "token")
        plain = RelayLeg(RelayId("relay2"), "ws://192.0.2.1/relay", "token")
        watched = Watched(authority, relay, nobody, plain, relay.leg(Side.GATEWAY))
        watched.set.start()
        await watched.until(lambda: watched.set.state is RelayState.ALONE)
        await watched.until(lambda: len(watched.ends()) >= 3)
        details = {change.end.detail for change in watched.changes if change.end is not None}
        assert any("starts with wss://" in detail for detail in details)
        await watched.set.close()


async def test_an_end_says_where_it_dropped_what_even_after_it_was_closed(
    relay: RunningRelay, open_end: OpenEnd
) -> None:
    end, port = await open_end(Side.TECHNICIAN, relay)
    with wireguard(end, port) as left:
        left.send(b"\x04data that no partner takes")
        await eventually(lambda: end.drops()["relay"] == 1)
        left.send(b"")
        await eventually(lambda: end.drops()["strange"] == 1)
    await end.close()
    assert {place: end.drops()[place] for place in DROP_PLACES if end.drops()[place]} == {
        "relay": 1,
        "strange": 1,
    }
