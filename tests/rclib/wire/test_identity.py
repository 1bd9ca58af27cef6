"""Identities: what is signed means one thing, and only the holder of the key can have said it."""

from __future__ import annotations

import re
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.identity import (
    Domain,
    Side,
    answer_key_statement,
    enrol_statement,
    fingerprint,
    is_signed_by,
    link_statement,
    offer_key_statement,
    relay_statement,
    sign,
    statement,
)
from rclib.wire.ids import (
    EndpointId,
    IdentityKey,
    Nonce,
    RelayId,
    SessionId,
    Signature,
    TunnelKey,
)

SECRET: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC: Final = IdentityKey(SECRET.public_key().public_bytes_raw())
SESSION: Final = SessionId("ses_" + "a" * 16)
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's base point, RFC 8032 §5.1."""

DOMAINS = st.sampled_from(Domain)
FIELDS = st.lists(st.binary(max_size=20), max_size=5)
KEYS = st.binary(min_size=32, max_size=32)


def read_back(signed: bytes) -> list[bytes]:
    """The parts of a statement, read by the rule its document states."""
    parts = []
    while signed:
        end = 4 + int.from_bytes(signed[:4], "big")
        assert end <= len(signed)
        parts.append(signed[4:end])
        signed = signed[end:]
    return parts


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class TestStatement:
    @given(DOMAINS, FIELDS)
    def test_a_statement_can_be_read_in_one_way_only(
        self, domain: Domain, fields: list[bytes]
    ) -> None:
        assert read_back(statement(domain, *fields)) == [domain.value.encode(), *fields]

    @given(DOMAINS, FIELDS, DOMAINS, FIELDS)
    def test_different_meanings_have_different_bytes(
        self, domain: Domain, fields: list[bytes], other: Domain, others: list[bytes]
    ) -> None:
        is_same_meaning = (domain, fields) == (other, others)
        assert (statement(domain, *fields) == statement(other, *others)) is is_same_meaning

    @given(DOMAINS, st.binary(max_size=20), st.data())
    def test_no_byte_moves_from_one_field_into_the_next(
        self, domain: Domain, joined: bytes, data: st.DataObject
    ) -> None:
        cuts = st.integers(0, len(joined))
        one, other = data.draw(cuts), data.draw(cuts)
        made = statement(domain, joined[:one], joined[one:])
        assert (made == statement(domain, joined[:other], joined[other:])) is (one == other)

    @given(st.lists(KEYS, min_size=3, max_size=3))
    def test_each_purpose_has_a_domain_of_its_own(self, keys: list[bytes]) -> None:
        one, two, three = keys
        made = [
            enrol_statement("code", IdentityKey(one)),
            link_statement(EndpointId("gwy_" + "a" * 16), "host", Nonce(one)),
            relay_statement(RelayId("relay0"), Nonce(one), two),
            offer_key_statement(SESSION, TunnelKey(one)),
            answer_key_statement(SESSION, TunnelKey(one), IdentityKey(two), TunnelKey(three)),
        ]
        assert [read_back(each)[0] for each in made] == [
            domain.value.encode()
            for domain in (
                Domain.ENROL,
                Domain.LINK,
                Domain.RELAY,
                Domain.OFFER_KEY,
                Domain.ANSWER_KEY,
            )
        ]

    def test_nothing_a_purpose_depends_on_is_left_unsigned(self) -> None:
        """Each argument stands in the statement, whole."""
        one, two, three = bytes(32), b"\1" * 32, b"\2" * 32
        endpoint = EndpointId("gwy_" + "a" * 16)
        assert read_back(enrol_statement("code", IdentityKey(one)))[1:] == [b"code", one]
        assert read_back(link_statement(endpoint, "host", Nonce(one)))[1:] == [
            endpoint.encode(),
            b"host",
            one,
        ]
        assert read_back(relay_statement(RelayId("r"), Nonce(one), two))[1:] == [b"r", one, two]
        assert read_back(offer_key_statement(SESSION, TunnelKey(one)))[1:] == [
            SESSION.encode(),
            one,
        ]
        answer = answer_key_statement(SESSION, TunnelKey(one), IdentityKey(two), TunnelKey(three))
        assert read_back(answer)[1:] == [SESSION.encode(), one, two, three]

    def test_the_bytes_stay_what_enrolled_ends_sign(self) -> None:
        assert enrol_statement("ABCD-1234", IdentityKey(b"\7" * 32)) == (
            b"\0\0\0\x15remoteconnect/1 enrol\0\0\0\x09ABCD-1234\0\0\0\x20" + b"\7" * 32
        )


class TestSignature:
    @given(st.binary(max_size=200))
    def test_the_holder_of_the_key_is_believed(self, signed: bytes) -> None:
        assert is_signed_by(PUBLIC, signed, sign(SECRET, signed))

    @given(st.binary(min_size=1, max_size=60), st.data())
    def test_every_bit_of_what_is_signed_counts(self, signed: bytes, data: st.DataObject) -> None:
        bit = data.draw(st.integers(0, 8 * len(signed) - 1))
        assert not is_signed_by(PUBLIC, flipped(signed, bit), sign(SECRET, signed))

    def test_every_bit_of_a_signature_counts(self) -> None:
        signature = sign(SECRET, b"statement")
        for bit in range(8 * len(signature)):
            changed = Signature(flipped(signature, bit))
            assert not is_signed_by(PUBLIC, b"statement", changed), bit

    def test_every_bit_of_a_key_counts(self) -> None:
        signature = sign(SECRET, b"statement")
        for bit in range(8 * len(PUBLIC)):
            changed = IdentityKey(flipped(PUBLIC, bit))
            assert not is_signed_by(changed, b"statement", signature), bit

    def test_a_signature_has_no_second_form(self) -> None:
        """RFC 8032 §5.1.7: S is below the group's order, or the signature is refused."""
        signature = sign(SECRET, b"statement")
        scalar = int.from_bytes(signature[32:], "little") + ORDER
        second = Signature(signature[:32] + scalar.to_bytes(32, "little"))
        assert not is_signed_by(PUBLIC, b"statement", second)

    @given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
    def test_anything_else_is_a_no_and_never_an_error(
        self, key: bytes, signed: bytes, signature: bytes
    ) -> None:
        assert not is_signed_by(IdentityKey(key), signed, Signature(signature))

    @given(KEYS, st.binary(min_size=64, max_size=64))
    def test_a_made_up_signature_is_a_no_under_an_honest_key(
        self, seed: bytes, signature: bytes
    ) -> None:
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        assert not is_signed_by(IdentityKey(public), b"statement", Signature(signature))

    @given(DOMAINS, DOMAINS, FIELDS)
    def test_a_signature_serves_the_purpose_it_was_made_for(
        self, domain: Domain, other: Domain, fields: list[bytes]
    ) -> None:
        signature = sign(SECRET, statement(domain, *fields))
        is_believed = is_signed_by(PUBLIC, statement(other, *fields), signature)
        assert is_believed is (domain is other)


class TestFingerprint:
    @given(KEYS)
    def test_a_fingerprint_can_be_read_out_on_the_phone(self, key: bytes) -> None:
        shown = fingerprint(IdentityKey(key))
        assert re.fullmatch(r"([A-Z2-7]{4} ){7}[A-Z2-7]{4}", shown)

    @given(KEYS, st.integers(0, 255))
    def test_another_key_has_another_fingerprint(self, key: bytes, bit: int) -> None:
        assert fingerprint(IdentityKey(key)) != fingerprint(IdentityKey(flipped(key, bit)))

    def test_a_fingerprint_that_was_noted_down_stays_good(self) -> None:
        shown = "C4GU GTMK RLXV WAH3 CGZE U3YB CGKN LXOG"
        assert fingerprint(PUBLIC) == shown


@pytest.mark.parametrize("side", Side)
def test_the_other_side_of_the_other_side_is_this_side(side: Side) -> None:
    assert side.other is not side
    assert side.other.other is side
