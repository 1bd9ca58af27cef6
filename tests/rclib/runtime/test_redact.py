from __future__ import annotations

import ipaddress
import unicodedata
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.redact import (
    MAX_ITEMS,
    MAX_TEXT,
    describe_bytes,
    safe_text,
    safe_value,
)
from rclib.runtime.secret import REDACTED, SecretBytes, SecretStr

values = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.uuids()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner, inner)
    ),
)


@given(st.text())
def test_safe_text_is_one_line_that_any_terminal_shows_as_it_is(text: str) -> None:
    safe = safe_text(text)

    assert len(safe.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in safe} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("admin\u202egnp.exe", r"admin\u202egnp.exe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("Grüße 你好 🙂", "Grüße 你好 🙂"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@given(values)
def test_whatever_is_logged_can_be_encoded(value: object) -> None:
    msgspec.json.encode(safe_value(value))


def test_a_secret_is_redacted_however_deep_it_sits() -> None:
    secrets: list[Any] = [SecretStr("hunter2"), SecretBytes(b"hunter2")]
    shown = safe_value({"a": [{"b": (secrets[0], {secrets[1]})}], "c": secrets[0]})

    assert shown == {"a": [{"b": [REDACTED, [REDACTED]]}], "c": REDACTED}


def test_bytes_are_shown_by_size_and_digest() -> None:
    key = bytes(range(32))

    assert safe_value(key) == safe_value(bytearray(key)) == describe_bytes(key)
    assert describe_bytes(key).startswith("32 bytes, sha256 ")
    assert key.hex()[:8] not in describe_bytes(key)


def test_long_text_is_cut_and_says_how_long_it_was() -> None:
    shown = safe_text("x" * (MAX_TEXT + 1))

    assert shown.endswith(f"({MAX_TEXT + 1} characters)")
    assert len(shown) < MAX_TEXT + 50


def test_large_and_deep_collections_are_cut() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]

    assert len(safe_value(list(range(1000)))) == MAX_ITEMS + 1
    assert len(safe_value(dict.fromkeys(range(1000)))) == MAX_ITEMS + 1
    assert "nested deeper" in str(safe_value(deep))


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Colour.RED, "red"),
        (ipaddress.IPv4Address("192.0.2.1"), "192.0.2.1"),
        (Path("/a\nb"), r"/a\nb"),
        (ValueError("a\nb"), r"ValueError: a\nb"),
        ({"a\n": 1}, {r"a\n": 1}),
        (True, True),
    ],
)
def test_other_values_are_shown_as_people_write_them(value: object, shown: object) -> None:
    assert safe_value(value) == shown
