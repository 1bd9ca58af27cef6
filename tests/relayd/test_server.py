"""The relay with real sockets and TLS; legs are the ones rcd and rcc use."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.logs import get_logger
from rclib.tunnel.relay_client import RelayConnection, dial
from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.tunnel.tunnel_end import TunnelEnd
from rclib.wire.identity import Side
from rclib.wire.ids import RelayId, SessionId
from rclib.wire.relay import CloseReason
from relayd.config import RelaydConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rclib.tunnel.enrolment import Identity
    from tests.relayd.conftest import Authority, RunningRelay

SESSION = SessionId("ses_" + "a" * 16)
HANDSHAKE = b"\x01" + bytes(147)


class Listener:
    """Collects what a leg reports."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.data: list[tuple[int, bytes]] = []

    def leg_changed(self, leg: RelayConnection) -> None:
        self.changed.set()

    def leg_data(self, segment: int, packets: memoryview) -> None:
        self.data.append((segment, bytes(packets)))
        self.changed.set()

    def leg_signal(self, payload: bytes) -> None:
        self.data.append((0, payload))
        self.changed.set()


async def until(listener: Listener, leg: RelayConnection, state: LegState) -> None:
    while leg.core.state is not state:
        listener.changed.clear()
        await asyncio.wait_for(listener.changed.wait(), 5)


@asynccontextmanager
async def connected(
    relay_server: RunningRelay, token: str, identity: Identity
) -> AsyncIterator[tuple[RelayConnection, Listener]]:
    listener = Listener()
    core = RelayLegCore(RelayId("relay0"), token, identity.sign)
    leg = RelayConnection(core, listener)
    await dial(relay_server.url, leg, relay_server.tls)
    yield leg, listener
    await leg.close()


async def close_reason(relay_server: RunningRelay, token: str, identity: Identity) -> object:
    async with connected(relay_server, token, identity) as (leg, listener):
        await until(listener, leg, LegState.ENDED)
        assert leg.core.end is not None
        return leg.core.end.reason


class TestAdmission:
    async def test_a_leg_with_a_token_and_its_key_is_admitted(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY)
        async with connected(relay_server, token, gateway) as (leg, listener):
            await until(listener, leg, LegState.ALONE)

    async def test_a_stolen_token_without_its_key_is_refused(
        self,
        relay_server: RunningRelay,
        authority: Authority,
        gateway: Identity,
        technician: Identity,
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY)
        assert await close_reason(relay_server, token, technician) is CloseReason.PROOF_INVALID

    async def test_an_expired_token_is_refused(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY, lasts_s=0)
        assert await close_reason(relay_server, token, gateway) is CloseReason.TOKEN_EXPIRED

    async def test_a_token_of_another_relay_is_refused(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY, relay=RelayId("relay9"))
        assert await close_reason(relay_server, token, gateway) is CloseReason.WRONG_RELAY

    async def test_the_newest_leg_of_a_key_wins_and_the_old_one_is_told(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY)
        async with connected(relay_server, token, gateway) as (old, old_listener):
            await until(old_listener, old, LegState.ALONE)
            async with connected(relay_server, token, gateway) as (new, new_listener):
                await until(new_listener, new, LegState.ALONE)
                await until(old_listener, old, LegState.ENDED)
                assert old.core.end is not None
                assert old.core.end.reason is CloseReason.REPLACED

    async def test_another_key_cannot_take_a_side(
        self,
        relay_server: RunningRelay,
        authority: Authority,
        gateway: Identity,
        technician: Identity,
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY)
        async with connected(relay_server, token, gateway) as (leg, listener):
            await until(listener, leg, LegState.ALONE)
            other = authority.token(technician, Side.GATEWAY)
            assert await close_reason(relay_server, other, technician) is CloseReason.SIDE_TAKEN
            assert leg.core.state is LegState.ALONE

    async def test_a_lease_that_is_not_renewed_ends_the_leg(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY, lasts_s=2)
        assert await close_reason(relay_server, token, gateway) is CloseReason.LEASE_ENDED


class TestChannel:
    async def test_legs_of_different_sessions_never_meet(
        self,
        relay_server: RunningRelay,
        authority: Authority,
        gateway: Identity,
        technician: Identity,
    ) -> None:
        other = SessionId("ses_" + "b" * 16)
        here = authority.token(gateway, Side.GATEWAY)
        there = authority.token(technician, Side.TECHNICIAN, session=other)
        async with (
            connected(relay_server, here, gateway) as (left, left_listener),
            connected(relay_server, there, technician) as (right, right_listener),
        ):
            await until(left_listener, left, LegState.ALONE)
            await until(right_listener, right, LegState.ALONE)

    async def test_real_datagrams_cross_both_ways_unchanged_and_in_order(
        self,
        relay_server: RunningRelay,
        authority: Authority,
        gateway: Identity,
        technician: Identity,
    ) -> None:
        loop = asyncio.get_running_loop()
        ends, sockets = [], []
        for side, identity in ((Side.TECHNICIAN, technician), (Side.GATEWAY, gateway)):
            leg = relay_server.leg(authority.token(identity, side))
            end = TunnelEnd(SESSION, side, identity, (leg,), relay_server.tls, get_logger("test"))
            wireguard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            wireguard.setblocking(False)
            wireguard.bind(("127.0.0.1", 0))
            wireguard.connect(("127.0.0.1", await end.start()))
            end.wireguard_listens(wireguard.getsockname()[1])
            ends.append(end)
            sockets.append(wireguard)
        left, right = sockets
        try:
            # Sent before any leg is up: the first handshake is not lost.
            left.send(HANDSHAKE)
            assert await asyncio.wait_for(loop.sock_recv(right, 4096), 5) == HANDSHAKE
            sent = [bytes([4, n]) + bytes(1200 + n % 3) for n in range(60)]
            for packet in sent:
                right.send(packet)
            got = [await asyncio.wait_for(loop.sock_recv(left, 4096), 5) for _ in sent]
            assert got == sent
        finally:
            for end in ends:
                await end.close()
            for wireguard in sockets:
                wireguard.close()

    async def test_the_relay_says_goodbye_when_it_ends(
        self, relay_server: RunningRelay, authority: Authority, gateway: Identity
    ) -> None:
        token = authority.token(gateway, Side.GATEWAY)
        async with connected(relay_server, token, gateway) as (leg, listener):
            await until(listener, leg, LegState.ALONE)
            relay_server.stopping.set()
            await until(listener, leg, LegState.ENDED)
            assert leg.core.end is not None
            assert leg.core.end.reason is CloseReason.SHUTTING_DOWN
            assert leg.core.end.wait_s > 0


@pytest.mark.parametrize("path", ["/", "/relay/x"])
async def test_any_other_path_is_not_found(
    relay_server: RunningRelay, path: str, gateway: Identity
) -> None:
    leg = RelayConnection(RelayLegCore(RelayId("relay0"), "t", gateway.sign), Listener())
    with pytest.raises(OSError, match="404"):
        await dial(relay_server.url.removesuffix("/relay") + path, leg, relay_server.tls)


def test_plaintext_beyond_loopback_is_refused() -> None:
    with pytest.raises(ValueError, match="insecure_plaintext"):
        RelaydConfig(
            relay=RelayId("relay0"),
            token_keys=[Path("x")],
            listen="0.0.0.0:1",
            insecure_plaintext=True,
        )
