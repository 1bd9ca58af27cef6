"""Admission tokens: only the control plane's own signature, for this relay, in time, admits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.admission import (
    ISSUED_AHEAD_S,
    Admission,
    KeyId,
    TokenRefusedError,
    key_id_of,
    load_key,
    mint,
    verify,
)
from rclib.wire.errors import DecodeError
from rclib.wire.identity import Side, token_digest
from rclib.wire.ids import IdentityKey, RelayId, SessionId
from rclib.wire.relay import CloseReason

NOW = 1_800_000_000
RELAY = RelayId("relay0")
ADMISSION = Admission(
    SessionId("ses_" + "a" * 16), Side.GATEWAY, IdentityKey(bytes(32)), RELAY, NOW - 5, NOW + 600
)


def private_pem(key: Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = load_key(private_pem(SECRET))
PUBLIC_PEM = SECRET.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
KEY_ID = key_id_of(KEY)
KEYS = {KEY_ID: load_key(PUBLIC_PEM)}
TOKEN = mint(ADMISSION, KEY, KEY_ID)


def reason_of(token: str, *, relay: RelayId = RELAY, now: float = NOW) -> CloseReason:
    with pytest.raises(TokenRefusedError) as caught:
        verify(token, KEYS, relay, now)
    return caught.value.reason


def compact(header: dict[str, object], payload: bytes, signature: bytes) -> str:
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def signed(header: dict[str, object], payload: bytes) -> str:
    """A token with an honest signature over whatever it says."""
    head = compact(header, payload, b"").removesuffix(".")
    signature = SECRET.sign(head.encode())
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


HEADER: dict[str, object] = {"alg": "Ed25519", "typ": "rc-relay+jwt", "kid": KEY_ID}
CLAIMS: dict[str, object] = {
    "sub": ADMISSION.sub,
    "side": "gateway",
    "key": base64.b64encode(bytes(32)).decode(),
    "aud": RELAY,
    "iat": NOW,
    "exp": NOW + 600,
}


def test_a_token_admits_whom_it_names() -> None:
    assert verify(TOKEN, KEYS, RELAY, NOW) == ADMISSION


def test_public_and_private_half_have_one_key_id() -> None:
    assert key_id_of(KEYS[KEY_ID]) == KEY_ID


class TestRefusal:
    def test_every_single_bit_counts(self) -> None:
        for bit in range(8 * len(TOKEN)):
            changed = bytearray(TOKEN.encode())
            changed[bit // 8] ^= 1 << bit % 8
            assert reason_of(changed.decode("latin-1")) is CloseReason.TOKEN_INVALID, bit

    @given(st.text(max_size=200))
    def test_any_text_is_refused_in_order(self, text: str) -> None:
        assert reason_of(text) is CloseReason.TOKEN_INVALID

    @given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=80))
    def test_any_three_parts_are_refused_in_order(
        self, header: bytes, payload: bytes, signature: bytes
    ) -> None:
        parts = (header, payload, signature)
        token = ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)
        assert reason_of(token) is CloseReason.TOKEN_INVALID

    def test_an_expired_token_says_so(self) -> None:
        assert verify(TOKEN, KEYS, RELAY, ADMISSION.exp - 1)
        assert reason_of(TOKEN, now=ADMISSION.exp) is CloseReason.TOKEN_EXPIRED

    def test_a_token_of_another_relay_says_so(self) -> None:
        assert reason_of(TOKEN, relay=RelayId("relay1")) is CloseReason.WRONG_RELAY

    def test_a_token_from_the_future_points_at_the_clocks(self) -> None:
        early = ADMISSION.iat - ISSUED_AHEAD_S
        assert verify(TOKEN, KEYS, RELAY, early)
        assert reason_of(TOKEN, now=early - 1) is CloseReason.TOKEN_INVALID

    def test_an_unknown_signer_is_refused(self) -> None:
        stranger = load_key(private_pem(Ed25519PrivateKey.generate()))
        assert reason_of(mint(ADMISSION, stranger, key_id_of(stranger))) is (
            CloseReason.TOKEN_INVALID
        )
        assert reason_of(mint(ADMISSION, stranger, KEY_ID)) is CloseReason.TOKEN_INVALID

    def test_a_token_of_another_kind_is_refused(self) -> None:
        payload = json.dumps(CLAIMS).encode()
        assert verify(signed(HEADER, payload), KEYS, RELAY, NOW)
        assert reason_of(signed({**HEADER, "typ": "JWT"}, payload)) is CloseReason.TOKEN_INVALID
        bare = {name: value for name, value in HEADER.items() if name != "typ"}
        assert reason_of(signed(bare, payload)) is CloseReason.TOKEN_INVALID

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "EdDSA", "HS256"])
    def test_no_algorithm_but_ours_is_accepted_even_with_an_honest_signature(
        self, algorithm: str | None
    ) -> None:
        token = signed({**HEADER, "alg": algorithm}, json.dumps(CLAIMS).encode())
        assert reason_of(token) is CloseReason.TOKEN_INVALID

    def test_none_without_a_signature_is_refused(self) -> None:
        token = compact({**HEADER, "alg": "none"}, json.dumps(CLAIMS).encode(), b"")
        assert reason_of(token) is CloseReason.TOKEN_INVALID

    @pytest.mark.parametrize(
        "secret",
        [
            PUBLIC_PEM,
            SECRET.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            ),
        ],
    )
    def test_the_public_key_is_no_password(self, secret: bytes) -> None:
        header = {**HEADER, "alg": "HS256"}
        head = compact(header, json.dumps(CLAIMS).encode(), b"").removesuffix(".")
        mac = hmac.new(secret, head.encode(), hashlib.sha256).digest()
        token = f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert reason_of(token) is CloseReason.TOKEN_INVALID

    @pytest.mark.parametrize(
        "change",
        [
            {"sub": "ses_short"},
            {"side": "both"},
            {"key": "AAAA"},
            {"exp": "tomorrow"},
            {"exp": 0},
            {"aud": None},
            {"aud": [RELAY]},
        ],
    )
    def test_a_signed_claim_that_makes_no_sense_is_refused(self, change: dict[str, object]) -> None:
        token = signed(HEADER, json.dumps(CLAIMS | change).encode())
        assert reason_of(token) is CloseReason.TOKEN_INVALID

    @pytest.mark.parametrize("missing", sorted(CLAIMS))
    def test_no_claim_may_be_missing(self, missing: str) -> None:
        claims = {name: value for name, value in CLAIMS.items() if name != missing}
        assert reason_of(signed(HEADER, json.dumps(claims).encode())) is CloseReason.TOKEN_INVALID

    def test_a_token_longer_than_a_first_message_is_refused(self) -> None:
        assert reason_of(TOKEN + "A" * 4096) is CloseReason.TOKEN_INVALID


def test_the_digest_is_of_the_whole_token() -> None:
    assert token_digest(TOKEN) == hashlib.sha256(TOKEN.encode()).digest()
    assert token_digest(TOKEN) != token_digest(TOKEN[:-1])


class TestKeys:
    @pytest.mark.parametrize(
        "pem",
        [
            b"",
            b"not PEM",
            private_pem(ed448.Ed448PrivateKey.generate()),
            private_pem(rsa.generate_private_key(65537, 2048)),
        ],
    )
    def test_only_an_ed25519_key_is_loaded(self, pem: bytes) -> None:
        with pytest.raises(DecodeError, match="token key"):
            load_key(pem)

    def test_a_key_id_is_short_and_stable(self) -> None:
        assert KeyId(KEY.thumbprint()[:16]) == KEY_ID
