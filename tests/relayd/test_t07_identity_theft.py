"""T7, the relay's part: what belongs to B opens nothing for A, and B's leg does not notice.

A has an identity and a token of its own, and has seen everything that B sent. (Enrolment, the
record and the API are `tests/controld`'s part.)
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_leg import LegState
from rclib.wire import relay as wire
from rclib.wire.identity import Side, relay_statement, token_digest
from rclib.wire.ids import Nonce, RelayId, SessionId
from rclib.wire.relay import CloseReason
from tests.relayd.raw_websocket import Opcode, RawWebSocket, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.relayd.conftest import Authority, Join, Pair, Probe, RunningRelay, StartRelay

BURST = wire.data_header(4) + b"\x04123"
OTHER_SESSION = SessionId("ses_" + "b" * 16)
ELSEWHERE = RelayId("relay1")
UNSIGNED = urlsafe_b64encode(b'{"alg":"none","typ":"rc-relay+jwt"}').rstrip(b"=").decode()


@dataclass
class Thief:
    """Speaks the protocol by hand."""

    relay: RunningRelay
    identity: Identity

    async def hello(self, token: str) -> tuple[RawWebSocket, Nonce]:
        raw = await RawWebSocket.connect(self.relay.port, self.relay.tls)
        challenge = await self.answer(raw)
        assert isinstance(challenge, wire.Challenge)
        await self.say(raw, wire.Hello(wire.PROTOCOL_VERSION, token))
        return raw, challenge.nonce

    async def say(self, raw: RawWebSocket, message: wire.Frame) -> None:
        raw.writer.write(frame(Opcode.BINARY, wire.encode(message)))

    async def answer(self, raw: RawWebSocket) -> wire.Frame:
        _, payload = await raw.read_frame()
        return wire.decode(payload)

    async def refused(self, raw: RawWebSocket) -> CloseReason:
        answer = await self.answer(raw)
        assert isinstance(answer, wire.Close), answer
        raw.writer.close()
        return answer.reason


@pytest.fixture
def thief(relay: RunningRelay) -> Thief:
    return Thief(relay, Identity(Ed25519PrivateKey.generate()))


@pytest.fixture
async def untouched(pair: Pair, relay: RunningRelay) -> AsyncIterator[tuple[Probe, Probe]]:
    """B and its partner, who go on as if nothing had happened."""
    partner, b = await pair(relay)
    yield partner, b
    partner.send(BURST)
    b.send(BURST)
    await b.until(lambda: BURST in b.messages)
    await partner.until(lambda: BURST in partner.messages)
    assert (b.messages, partner.messages) == ([BURST], [BURST])


@pytest.mark.usefixtures("untouched")
class TestBesideTheLiveLeg:
    async def test_bs_token_with_as_signature(
        self, relay: RunningRelay, thief: Thief, authority: Authority
    ) -> None:
        token = authority.token(Side.GATEWAY)
        raw, nonce = await thief.hello(token)
        statement = relay_statement(relay.name, nonce, token_digest(token))
        await thief.say(raw, wire.Proof(thief.identity.sign(statement)))
        assert await thief.refused(raw) is CloseReason.PROOF_INVALID
        assert relay.metric("relayd_closed_legs_total", reason="proof_invalid") == 1

    @pytest.mark.parametrize("replayed", ["nonce", "relay", "token"])
    async def test_a_proof_of_b_for_anything_else(
        self, relay: RunningRelay, thief: Thief, authority: Authority, replayed: str
    ) -> None:
        """Of an earlier connection, of one to another relay, of one with another token."""
        token = authority.token(Side.GATEWAY)
        raw, nonce = await thief.hello(token)
        said = {"relay": relay.name, "nonce": nonce, "token": token_digest(token)}
        said[replayed] = {"relay": ELSEWHERE, "nonce": bytes(32), "token": bytes(32)}[replayed]
        statement = relay_statement(
            RelayId(str(said["relay"])),
            Nonce(bytes(said["nonce"])),  # type: ignore[arg-type] # bytes they are
            bytes(said["token"]),  # type: ignore[arg-type]
        )
        signature = authority.identities[Side.GATEWAY].sign(statement)
        await thief.say(raw, wire.Proof(signature))
        assert await thief.refused(raw) is CloseReason.PROOF_INVALID

    async def test_bs_token_for_another_relay(self, thief: Thief, authority: Authority) -> None:
        token = authority.token(Side.GATEWAY, audience=ELSEWHERE)
        raw, _ = await thief.hello(token)
        assert await thief.refused(raw) is CloseReason.WRONG_RELAY

    async def test_as_own_token_for_the_same_session_and_side(
        self, relay: RunningRelay, join: Join, thief: Thief, authority: Authority
    ) -> None:
        """Not even controld's word replaces a leg that another key holds."""
        token = authority.token(Side.GATEWAY, identity=thief.identity)
        leg = await join(relay, Side.GATEWAY, token=token, identity=thief.identity)
        assert await leg.reason() is CloseReason.SIDE_TAKEN

    async def test_as_own_leg_renewed_by_bs_token(
        self, relay: RunningRelay, join: Join, thief: Thief, authority: Authority
    ) -> None:
        own = authority.token(Side.GATEWAY, session=OTHER_SESSION, identity=thief.identity)
        leg = await join(relay, Side.GATEWAY, token=own, identity=thief.identity)
        await leg.reaches(LegState.ALONE)
        leg.connection.renew(authority.token(Side.GATEWAY))
        assert await leg.reason() is CloseReason.TOKEN_INVALID

    async def test_a_token_that_a_wrote_itself(self, thief: Thief, authority: Authority) -> None:
        header, claims, signature = authority.token(Side.GATEWAY).split(".")
        other = authority.token(Side.GATEWAY, session=OTHER_SESSION).split(".")
        for forged in (
            f"{header}.{other[1]}.{signature}",
            f"{header}.{claims}.{other[2]}",
            f"{header}.{claims}.",
            f"{UNSIGNED}.{claims}.",
        ):
            raw, _ = await thief.hello(forged)
            assert await thief.refused(raw) is CloseReason.TOKEN_INVALID

    async def test_data_without_any_proof(self, thief: Thief, authority: Authority) -> None:
        raw, _ = await thief.hello(authority.token(Side.GATEWAY))
        raw.writer.write(frame(Opcode.BINARY, BURST))
        assert await thief.refused(raw) is CloseReason.BAD_FRAME


async def test_as_own_session_hears_nothing_of_bs(
    relay: RunningRelay, untouched: tuple[Probe, Probe], join: Join, start_relay: StartRelay
) -> None:
    stranger = await join(relay, Side.TECHNICIAN, session=OTHER_SESSION)
    # And B's own token admits it to another relay of the same name space only if it names that.
    other = await start_relay(ELSEWHERE)
    leg = await join(other, Side.GATEWAY, audience=relay.name)
    assert await leg.reason() is CloseReason.WRONG_RELAY
    untouched[0].send(BURST)
    await untouched[1].until(lambda: len(untouched[1].messages) == 1)
    untouched[1].messages.clear()
    assert stranger.messages == []
