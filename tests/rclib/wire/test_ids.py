"""Identifiers: one kind each, one spelling each, nothing else passes."""

from __future__ import annotations

import base64
from typing import Any, Final, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire import ids
from rclib.wire.ids import ID_RANDOM_BYTES, make_id

Kind: TypeAlias = Any
"""Of an id or key: what a decoder takes as a type, and a type checker does not."""

RANDOM = st.binary(min_size=ID_RANDOM_BYTES, max_size=ID_RANDOM_BYTES)
KINDS: Final[dict[str, Kind]] = {
    "org": ids.OrganisationId,
    "usr": ids.UserId,
    "gwy": ids.GatewayId,
    "cli": ids.ClientId,
    "dev": ids.DeviceId,
    "ses": ids.SessionId,
    "msg": ids.MessageId,
}
KEYS: Final[dict[Kind, int]] = {
    ids.IdentityKey: 32,
    ids.TunnelKey: 32,
    ids.Nonce: 32,
    ids.Signature: 64,
}


def is_a(kind: Kind, value: str | bytes) -> bool:
    """Whether a decoder of `kind` takes this value from JSON."""
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


@given(st.sampled_from(sorted(KINDS)), RANDOM)
def test_an_id_is_of_its_own_kind_and_of_no_other(prefix: str, random: bytes) -> None:
    made = make_id(prefix, random)
    assert [kind for kind, type_ in KINDS.items() if is_a(type_, made)] == [prefix]


@given(RANDOM)
def test_an_id_keeps_every_random_bit(random: bytes) -> None:
    spelled = make_id("ses", random).removeprefix("ses_")
    assert base64.b32decode(spelled.upper()) == random


@pytest.mark.parametrize("prefix", sorted(KINDS))
def test_an_endpoint_is_a_gateway_or_a_client(prefix: str) -> None:
    assert is_a(ids.EndpointId, make_id(prefix, bytes(10))) is (prefix in ("gwy", "cli"))


@given(st.binary(max_size=40).filter(lambda random: len(random) != ID_RANDOM_BYTES))
def test_too_little_or_too_much_randomness_is_refused(random: bytes) -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        make_id("ses", random)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ses_",
        "a" * 16,
        "ses_" + "a" * 15,
        "ses_" + "a" * 17,
        "ses_" + "A" * 16,
        "SES_" + "a" * 16,
        "ses_" + "1" * 16,
        "ses-" + "a" * 16,
        " ses_" + "a" * 16,
        "ses_" + "a" * 16 + "\n",
        "\nses_" + "a" * 16,
        "ses_" + "a" * 15 + "/",
        "ses_" + "a" * 15 + "\u0430",
    ],
)
def test_nothing_that_merely_looks_like_an_id_passes(text: str) -> None:
    assert not is_a(ids.SessionId, text)


@given(st.text(max_size=40))
def test_what_passes_is_safe_in_a_path_a_url_and_a_log_line(text: str) -> None:
    for kind in (ids.RelayId, ids.EndpointId, *KINDS.values()):
        if is_a(kind, text):
            assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@pytest.mark.parametrize("name", ["r", "relay0", "eu-central-1", "x" * 32])
def test_a_relay_is_named_by_the_operator(name: str) -> None:
    assert is_a(ids.RelayId, name)


@pytest.mark.parametrize("name", ["", "x" * 33, "Relay", "relay 0", "relay.example", "relay0\n"])
def test_a_relay_has_a_plain_short_name(name: str) -> None:
    assert not is_a(ids.RelayId, name)


@given(st.binary(max_size=130))
def test_keys_have_exactly_their_length(data: bytes) -> None:
    for kind, length in KEYS.items():
        assert is_a(kind, data) is (len(data) == length)


@pytest.mark.parametrize(("kind", "length"), KEYS.items())
def test_a_key_that_is_a_byte_short_or_long_is_none(kind: Kind, length: int) -> None:
    assert is_a(kind, bytes(length))
    assert not is_a(kind, bytes(length - 1))
    assert not is_a(kind, bytes(length + 1))
