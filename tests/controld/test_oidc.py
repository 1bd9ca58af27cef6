"""What of a provider's answers is believed: signature, issuer, audience, times, nonce, subject."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk

from controld import oidc
from controld.config import ProviderConfig
from controld.oidc import Flow, ProviderDocument, ProviderError
from controld.oidc_url import is_safe_url
from controld.sealing import Sealer
from rclib.runtime.clock import wall_ms
from tests.controld.provider import CLIENT, Provider, new_key

ISSUER = "https://id.example"
CONFIG = ProviderConfig(id="corp", name="Corp", issuer=ISSUER, client_id=CLIENT)
NONCE = "of this login"
KEYS = [new_key("k1"), new_key("k2")]
PROVIDER = Provider(issuer=ISSUER, keys=KEYS)
DOCUMENT = ProviderDocument(ISSUER, f"{ISSUER}/a", f"{ISSUER}/t", f"{ISSUER}/k")
FLOW = Flow("corp", "state", NONCE, "verifier", None, 2**50)


def told(keys: list[Any] = KEYS, **changes: Any) -> str:  # noqa: ANN401 -- claims
    provider = Provider(issuer=ISSUER, keys=KEYS, **changes)
    return oidc.subject_of(provider.sign(NONCE), keys, CONFIG, NONCE, wall_ms())


def test_what_is_true_is_believed() -> None:
    assert told() == PROVIDER.subject
    assert told(claims={"aud": [CLIENT]}) == PROVIDER.subject
    assert told(claims={"aud": [CLIENT, "another"], "azp": CLIENT}) == PROVIDER.subject


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another login"},
        {"nonce": None},
        {"nonce": [NONCE]},
        {"aud": "another-program"},
        {"aud": []},
        {"aud": None},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"iss": "https://id.example/"},
        {"iss": None},
        {"iss": [ISSUER, "https://evil.example"]},
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"nbf": 2**40},
        {"iat": None},
        {"iat": 2**40},
        {"sub": None},
        {"sub": ""},
        {"sub": 248289761001},
        {"sub": ["248289761001"]},
        {"sub": "x" * 300},
        {"sub": "a\x1b[31m"},
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_a_token_with_anything_wrong_names_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        told(claims=claims)


def test_a_token_is_good_for_its_time_only() -> None:
    token = PROVIDER.sign(NONCE)
    for late_s in (301 + oidc.LEEWAY_S, 86_400):
        with pytest.raises(ProviderError):
            oidc.subject_of(token, KEYS, CONFIG, NONCE, wall_ms() + late_s * 1000)


def test_only_a_published_key_signs() -> None:
    for name in ("k1", "k3"):
        with pytest.raises(ProviderError):
            told(signs_with=new_key(name))
    with pytest.raises(ProviderError):
        told([])


def test_a_token_without_a_keys_name_is_for_providers_with_one_key() -> None:
    token = Provider(issuer=ISSUER, keys=KEYS, header={"kid": None}).sign(NONCE)
    for keys in (KEYS, []):
        with pytest.raises(ProviderError):
            oidc.subject_of(token, keys, CONFIG, NONCE, wall_ms())
    assert oidc.subject_of(token, KEYS[-1:], CONFIG, NONCE, wall_ms()) == PROVIDER.subject


def test_no_secret_that_everybody_has_signs() -> None:
    """Algorithm confusion: the public key as HMAC secret, and no signature at all."""
    shared = jwk.OctKey.import_key(base64.b64encode(b"x" * 32).decode(), {"kid": "k1"})
    token = Provider(issuer=ISSUER, keys=KEYS, signs_with=shared, header={"alg": "HS256"})
    for keys in (KEYS, [shared]):
        with pytest.raises(ProviderError):
            oidc.subject_of(token.sign(NONCE), keys, CONFIG, NONCE, wall_ms())
    _, claims, _ = PROVIDER.sign(NONCE).split(".")
    for algorithm in ("none", "None", "NONE"):
        header = base64.urlsafe_b64encode(b'{"alg":"%s","kid":"k1"}' % algorithm.encode()).decode()
        with pytest.raises(ProviderError):
            oidc.subject_of(f"{header.rstrip('=')}.{claims}.", KEYS, CONFIG, NONCE, wall_ms())


def test_a_key_set_gives_no_shared_secrets_and_survives_strangers() -> None:
    good = KEYS[0].as_dict(private=False)
    strangers: list[Any] = [
        {"kty": "oct", "k": "eHh4", "kid": "k9"},
        {"kty": "new", "kid": "k8"},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": 7},
        good | {"use": "enc", "kid": "k7"},
    ]
    found = oidc.read_keys(msgspec.json.encode({"keys": [*strangers, good]}))
    assert [key.kid for key in found] == ["k1"]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_make_more_of_it_than_a_refusal(data: bytes) -> None:
    for read in (
        lambda: oidc.read_keys(data),
        lambda: oidc.read_document(data, ISSUER),
        lambda: oidc.read_token_answer(data),
    ):
        with pytest.raises(ProviderError):
            read()


@given(st.text(max_size=60) | st.lists(st.text(max_size=20), min_size=3, max_size=3).map(".".join))
def test_no_text_makes_more_of_a_token_than_a_refusal(text: str) -> None:
    with pytest.raises(ProviderError):
        oidc.subject_of(text, KEYS[:1], CONFIG, NONCE, wall_ms())


@given(st.dictionaries(st.sampled_from(["state", "iss", "error", "code"]), st.text(max_size=9)))
def test_a_way_back_is_believed_only_with_its_own_state(query: dict[str, str]) -> None:
    with pytest.raises(ProviderError):
        oidc.code_of(query, FLOW, CONFIG, DOCUMENT)


def test_the_address_there_asks_for_a_code_with_pkce() -> None:
    flow, address = oidc.begin(CONFIG, DOCUMENT, "https://host/back", 0)
    assert address.startswith(f"{ISSUER}/a?response_type=code&client_id={CLIENT}&")
    assert "code_challenge_method=S256" in address
    assert flow.verifier not in address
    assert len(flow.verifier) >= 43  # RFC 7636, section 4.1


def test_a_flow_opens_only_unchanged_and_in_time() -> None:
    sealer = Sealer(b"secret")
    sealed = oidc.seal(sealer, FLOW)
    assert oidc.unseal(sealer, sealed, 0) == FLOW
    assert oidc.unseal(sealer, sealed, FLOW.expires_ms) is None
    assert oidc.unseal(Sealer(b"other"), sealed, 0) is None
    for text in ("", "é", sealed[:-4], "A" + sealed[1:]):
        assert oidc.unseal(sealer, text, 0) is None


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://id.example", True),
        ("http://127.0.0.1:1", True),
        ("http://id.example", False),
        ("ftp://id.example", False),
        ("https://", False),
        ("//id.example", False),
        ("http://localhost.evil.example", False),
        ("https://[", False),
    ],
)
def test_only_https_leaves_this_machine(url: str, *, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe
