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
    from tests.relayd.conftest import Authority, Join, Knock, Pair, RunningRelay

OTHER_SESSION = SessionId("ses_" + "b" * 16)


async def answer_to(relay: RunningRelay, knock: Knock, message: bytes) -> CloseReason:
    opened = await knock(relay)
    await opened.send_bytes(message)
    frame = wire.decode((await opened.receive(timeout=5)).data)
    assert isinstance(frame, wire.Close)
    return frame.reason


async def test_both_legs_close_at_once_and_the_control_plane_gets_a_receipt(
    relay: RunningRelay, pair: Pair, knock: Knock, authority: Authority
) -> None:
    legs = await pair(relay)
    async with asyncio.timeout(2):
        assert await answer_to(relay, knock, authority.revocation()) is CloseReason.DONE
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
        assert await answer_to(relay, knock, message) is CloseReason.DONE


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


@pytest.mark.parametrize("side", Side)
async def test_a_revocation_is_no_token(
    relay: RunningRelay, knock: Knock, authority: Authority, side: Side
) -> None:
    revocation = authority.revocation()[1:].decode()
    hello = wire.encode(wire.Hello(wire.PROTOCOL_VERSION, revocation))
    assert await answer_to(relay, knock, hello) is CloseReason.TOKEN_INVALID, side
