"""A leg's conversation with its relay, without one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.wire import relay
from rclib.wire.identity import is_signed_by, relay_statement, sign, token_digest
from rclib.wire.ids import IdentityKey, Nonce, RelayId, Signature
from rclib.wire.relay import DEAD_S, CloseReason

RELAY = RelayId("relay0")
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
NONCE = Nonce(bytes(range(32)))

any_frame = st.one_of(
    st.builds(relay.Hello, st.integers(0, 255), st.just("t")),
    st.just(relay.Challenge(NONCE)),
    st.just(relay.Proof(Signature(bytes(64)))),
    st.builds(relay.Ready, st.booleans()),
    st.just(relay.Renew("t")),
    st.just(relay.Ping(bytes(8))),
    st.just(relay.Pong(bytes(8))),
    st.just(relay.Gone()),
    st.builds(relay.Restarting, st.integers(0, 10_000)),
    st.builds(relay.Close, st.sampled_from(CloseReason)),
)


@pytest.fixture
def leg() -> RelayLegCore:
    return make_leg()


def make_leg() -> RelayLegCore:
    return RelayLegCore(RELAY, "token", lambda signed: sign(SECRET, signed))


def admitted(*, partner_present: bool = False) -> RelayLegCore:
    leg = make_leg()
    leg.connected(0)
    leg.received(relay.Challenge(NONCE))
    leg.received(relay.Ready(partner_present))
    return leg


class TestAdmission:
    def test_it_starts_with_its_token(self, leg: RelayLegCore) -> None:
        assert relay.decode(leg.connected(0)) == relay.Hello(relay.PROTOCOL_VERSION, "token")
        assert leg.state is LegState.PROVING

    def test_it_proves_its_key_to_this_relay_for_this_token(self, leg: RelayLegCore) -> None:
        leg.connected(0)
        answer = leg.received(relay.Challenge(NONCE))
        assert answer is not None
        proof = relay.decode(answer)
        assert isinstance(proof, relay.Proof)
        signed = relay_statement(RELAY, NONCE, token_digest("token"))
        key = IdentityKey(SECRET.public_key().public_bytes_raw())
        assert is_signed_by(key, signed, proof.signature)

    def test_a_handshake_may_follow_the_proof_at_once_and_nothing_earlier(
        self, leg: RelayLegCore
    ) -> None:
        leg.connected(0)
        assert not leg.takes_handshakes
        leg.received(relay.Challenge(NONCE))
        assert leg.takes_handshakes
        assert not leg.is_admitted

    @pytest.mark.parametrize(
        ("present", "state"), [(False, LegState.ALONE), (True, LegState.PAIRED)]
    )
    def test_ready_says_whether_the_partner_is_there(
        self, *, present: bool, state: LegState
    ) -> None:
        assert admitted(partner_present=present).state is state

    def test_partners_come_and_go(self) -> None:
        leg = admitted(partner_present=True)
        seen = []
        for frame in (relay.Gone(), relay.Ready(partner_present=True)):
            leg.received(frame)
            seen.append(leg.state)
        assert seen == [LegState.ALONE, LegState.PAIRED]

    @pytest.mark.parametrize(
        "frame",
        [relay.Ready(partner_present=True), relay.Gone(), relay.Challenge(NONCE)],
    )
    def test_nothing_counts_before_the_first_word(
        self, leg: RelayLegCore, frame: relay.Frame
    ) -> None:
        leg.received(frame)
        assert leg.state is LegState.ENDED

    def test_it_signs_one_challenge_only_while_it_is_asked_to(self) -> None:
        leg = admitted()
        assert leg.received(relay.Challenge(NONCE)) is None
        assert leg.state is LegState.ENDED


class TestEnd:
    def test_the_reason_and_the_time_to_stay_away_are_kept(self) -> None:
        leg = admitted()
        leg.received(relay.Restarting(2500))
        leg.received(relay.Close(CloseReason.SHUTTING_DOWN, "bye"))
        assert leg.end is not None
        assert (leg.end.reason, leg.end.detail, leg.end.wait_s, leg.end.was_admitted) == (
            CloseReason.SHUTTING_DOWN,
            "bye",
            2.5,
            True,
        )

    def test_the_first_reason_stands(self) -> None:
        leg = admitted()
        leg.received(relay.Close(CloseReason.LEASE_ENDED))
        leg.lost(None, "the connection broke")
        assert leg.end is not None
        assert leg.end.reason is CloseReason.LEASE_ENDED

    @pytest.mark.parametrize("reason", CloseReason)
    def test_a_spent_token_is_told_from_a_busy_relay(self, reason: CloseReason) -> None:
        leg = make_leg()
        leg.connected(0)
        leg.received(relay.Close(reason))
        assert leg.end is not None
        assert not leg.end.was_admitted
        spent = {
            CloseReason.VERSION,
            CloseReason.TOKEN_INVALID,
            CloseReason.TOKEN_EXPIRED,
            CloseReason.WRONG_RELAY,
            CloseReason.PROOF_INVALID,
            CloseReason.LEASE_ENDED,
            CloseReason.REVOKED,
        }
        assert leg.end.needs_fresh_token is (reason in spent)
        assert leg.end.was_replaced is (reason is CloseReason.REPLACED)

    def test_a_silent_relay_is_dead_after_its_time_and_not_before(self) -> None:
        leg = admitted()
        leg.heard(100)
        assert not leg.is_silent(100 + DEAD_S - 0.1)
        assert leg.is_silent(100 + DEAD_S)
        leg.lost(None, "gone")
        assert not leg.is_silent(1000)


def test_a_ping_is_answered_with_its_own_bytes() -> None:
    answer = admitted().received(relay.Ping(b"12345678"))
    assert answer == relay.encode(relay.Pong(b"12345678"))


@given(st.lists(any_frame, max_size=30))
def test_no_order_of_frames_breaks_it_and_an_end_is_final(frames: list[relay.Frame]) -> None:
    leg = make_leg()
    leg.connected(0)
    end = None
    for frame in frames:
        leg.received(frame)
        if leg.state is LegState.ENDED:
            end = end or leg.end
            assert end is not None
            assert leg.end == end
            break
        assert leg.end is None
