"""The control plane ends a session at the relay, which believes a signature only."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.tunnel.relay_leg import LegState
from rclib.wire import relay as wire
from rclib.wire.admission import load_key
from rclib.wire.identity import Side
from rclib.wire.ids import RelayId, SessionId
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from tests.relayd.conftest import Authority, Join, Knock, Pair, RunningRelay, StartRelay

OTHER_SESSION = SessionId("ses_" + "b" * 16)


ECHO = b"received"


async def answer_to(relay: RunningRelay, knock: Knock, message: bytes) -> CloseReason | None:
    """Why the relay refuses, None: it does as it is told."""
    opened = await knock(relay)
    await opened.send_bytes(message)
    await opened.send_bytes(wire.encode(wire.Ping(ECHO)))
    frame = wire.decode((await opened.receive(timeout=5)).data)
    if frame == wire.Pong(ECHO):
        return None
    assert isinstance(frame, wire.Close)
    return frame.reason


async def test_both_legs_close_at_once(
    relay: RunningRelay, pair: Pair, knock: Knock, authority: Authority
) -> None:
    legs = await pair(relay)
    async with asyncio.timeout(5):
        assert await answer_to(relay, knock, authority.revocation()) is None
        for leg in legs:
            assert await leg.reason() is CloseReason.REVOKED


async def test_a_token_that_has_not_run_out_opens_nothing_any_more(
    relay: RunningRelay, join: Join, knock: Knock, authority: Authority
) -> None:
    await answer_to(relay, knock, authority.revocation())
    leg = await join(relay, Side.GATEWAY)
    assert await leg.reason() is CloseReason.REVOKED
    other = await join(relay, Side.GATEWAY, session=OTHER_SESSION)
    await other.reaches(LegState.ALONE)


async def test_a_replayed_revocation_changes_nothing(
    relay: RunningRelay, knock: Knock, authority: Authority
) -> None:
    message = authority.revocation()
    for _ in range(2):
        assert await answer_to(relay, knock, message) is None


async def test_nobody_else_can_end_a_session(
    relay: RunningRelay, pair: Pair, knock: Knock, authority: Authority
) -> None:
    technician, gateway = await pair(relay)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forged = replace(authority, key=load_key(pem)).revocation()
    admission = wire.encode(wire.Revoke(authority.token(Side.GATEWAY)))
    for message in (forged, admission):
        assert await answer_to(relay, knock, message) is CloseReason.TOKEN_INVALID
    foreign = authority.revocation(audience=RelayId("elsewhere"))
    assert await answer_to(relay, knock, foreign) is CloseReason.WRONG_RELAY
    expired = authority.revocation(lasts_s=0)
    assert await answer_to(relay, knock, expired) is CloseReason.TOKEN_EXPIRED
    technician.send(b"\x10\x00\x01a")
    await gateway.receives([b"\x10\x00\x01a"])


async def test_one_connection_brings_any_number_and_counts_as_no_attempt(
    start_relay: StartRelay, knock: Knock, authority: Authority
) -> None:
    relay = await start_relay(hello_timeout_s=1, max_unadmitted_per_address=1)
    opened = await knock(relay)
    sessions = [SessionId("ses_" + letter * 16) for letter in "abc"]
    for session in sessions:
        await opened.send_bytes(authority.revocation(session, lasts_s=2))
    await opened.send_bytes(wire.encode(wire.Ping(ECHO)))
    assert wire.decode((await opened.receive(timeout=5)).data) == wire.Pong(ECHO)
    await knock(relay)
    closed = wire.decode((await opened.receive(timeout=5)).data)
    assert closed == wire.Close(CloseReason.DONE, "every revocation has run out")


async def test_who_brought_a_revocation_is_still_no_leg(
    relay: RunningRelay, knock: Knock, authority: Authority
) -> None:
    for message in (
        wire.encode(wire.Hello(wire.PROTOCOL_VERSION, authority.token(Side.GATEWAY))),
        wire.encode(wire.Signal(b"to whom?")),
        b"\x10\x00\x01a",
    ):
        opened = await knock(relay)
        await opened.send_bytes(authority.revocation(OTHER_SESSION))
        await opened.send_bytes(message)
        frame = wire.decode((await opened.receive(timeout=5)).data)
        assert isinstance(frame, wire.Close)
        assert frame.reason is CloseReason.BAD_FRAME


@pytest.mark.parametrize("side", Side)
async def test_a_revocation_is_no_token(
    relay: RunningRelay, knock: Knock, authority: Authority, side: Side
) -> None:
    revocation = authority.revocation()[1:].decode()
    hello = wire.encode(wire.Hello(wire.PROTOCOL_VERSION, revocation))
    assert await answer_to(relay, knock, hello) is CloseReason.TOKEN_INVALID, side
