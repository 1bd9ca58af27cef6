"""The ends' signed words about their path: total decoder, bound to session and side."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.errors import DecodeError
from rclib.wire.identity import Side, sign, signal_statement
from rclib.wire.ids import IdentityKey, SessionId
from rclib.wire.path_signal import (
    MAX_CANDIDATES,
    SIGNATURE_BYTES,
    Candidate,
    CandidateKind,
    Envelope,
    IceCandidates,
    IceOffer,
    Moved,
    Numbers,
    seal,
    unseal,
)
from rclib.wire.relay import MAX_SIGNAL_BYTES

KEY = Ed25519PrivateKey.generate()
PUBLIC = IdentityKey(KEY.public_key().public_bytes_raw())
A, B = SessionId("ses_aaaaaaaaaaaaaaaa"), SessionId("ses_bbbbbbbbbbbbbbbb")


def sealed(envelope: Envelope, session: SessionId = A, side: Side = Side.GATEWAY) -> bytes:
    return seal(session, side, envelope, lambda signed: sign(KEY, signed))


def test_what_was_sealed_is_read_again() -> None:
    candidate = Candidate(CandidateKind.SERVER_REFLEXIVE, "198.51.100.2", 40_000, 1_694_498_815)
    envelope = Envelope(7, IceCandidates(1, (candidate,), is_last=True))
    assert unseal(A, Side.GATEWAY, PUBLIC, sealed(envelope)) == envelope


def test_the_largest_offer_fits_into_one_frame() -> None:
    address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"
    candidates = tuple(
        Candidate(CandidateKind.SERVER_REFLEXIVE, address, 65_535, 2**31 - 1)
        for _ in range(MAX_CANDIDATES)
    )
    offer = IceOffer(2**32, "u" * 64, "p" * 64, candidates)
    assert len(sealed(Envelope(2**53, offer))) <= MAX_SIGNAL_BYTES


@pytest.mark.parametrize(
    ("session", "side"), [(B, Side.GATEWAY), (A, Side.TECHNICIAN)], ids=["session", "side"]
)
def test_a_word_of_another_session_or_of_this_side_is_refused(
    session: SessionId, side: Side
) -> None:
    with pytest.raises(DecodeError, match="not signed"):
        unseal(A, Side.GATEWAY, PUBLIC, sealed(Envelope(1, Moved(1)), session, side))


@given(st.data())
def test_one_changed_byte_spoils_it(data: st.DataObject) -> None:
    message = bytearray(sealed(Envelope(1, Moved(1))))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecodeError):
        unseal(A, Side.GATEWAY, PUBLIC, bytes(message))


@given(st.binary(max_size=300))
def test_whatever_comes_in_is_a_message_or_one_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        unseal(A, Side.GATEWAY, PUBLIC, data)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_a_signed_malformed_message_is_one_error_too(payload: bytes) -> None:
    genuine = sealed(Envelope(1, Moved(1)))[SIGNATURE_BYTES:]
    payload = payload if payload != genuine else b"{}"
    with pytest.raises(DecodeError):
        unseal(A, Side.GATEWAY, PUBLIC, _signed(payload))


def _signed(payload: bytes) -> bytes:
    return sign(KEY, signal_statement(A, Side.GATEWAY, payload)) + payload


class TestNumbers:
    @given(st.lists(st.integers(1, 200), max_size=200))
    def test_no_number_is_taken_twice(self, numbers: list[int]) -> None:
        book = Numbers()
        taken = [number for number in numbers if book.is_new(number)]
        assert len(taken) == len(set(taken))

    @given(st.permutations(range(1, Numbers.WINDOW)))
    def test_within_the_window_the_order_does_not_matter(self, numbers: list[int]) -> None:
        book = Numbers()
        assert all(book.is_new(number) for number in numbers)

    def test_what_is_too_old_to_be_remembered_is_not_taken(self) -> None:
        book = Numbers()
        assert book.is_new(1000)
        assert not book.is_new(1000 - Numbers.WINDOW)
        assert book.is_new(1001 - Numbers.WINDOW)
