"""Reading JSON: a typed message, or the one error that says where."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.codec import Struct, decode_json
from rclib.wire.errors import DecodeError


class Part(Struct, frozen=True):
    """A part carries no tag."""

    number: int
    note: str = ""


class Whole(Struct, frozen=True, tag="whole"):
    """A message carries one."""

    parts: tuple[Part, ...]


DECODER: Final = msgspec.json.Decoder(Whole)
ANYTHING: Final[msgspec.json.Decoder[object]] = msgspec.json.Decoder(object)
SURROGATES = st.text(st.characters(codec=None), max_size=60)


def fault_of(data: bytes | str, decoder: msgspec.json.Decoder[Any] = DECODER) -> DecodeError | None:
    try:
        decode_json(decoder, "here", data)
    except DecodeError as exc:
        return exc
    return None


def reason_of(data: bytes | str, decoder: msgspec.json.Decoder[Any] = DECODER) -> str:
    fault = fault_of(data, decoder)
    assert fault is not None
    assert fault.place == "here"
    # What the library's own exception says stays out of a traceback, should there be one.
    assert fault.__suppress_context__
    return fault.reason


@given(st.lists(st.builds(Part, st.integers(-(2**63), 2**63 - 1), st.text(max_size=20))))
def test_what_is_written_is_read_again(parts: list[Part]) -> None:
    whole = Whole(tuple(parts))
    data = msgspec.json.encode(whole)
    assert decode_json(DECODER, "here", data) == whole
    assert decode_json(DECODER, "here", data.decode()) == whole


@given(st.binary(max_size=200) | SURROGATES)
def test_any_bytes_or_text_are_read_or_refused_in_order(data: bytes | str) -> None:
    decoders: tuple[msgspec.json.Decoder[Any], ...] = (DECODER, ANYTHING)
    for decoder in decoders:
        fault = fault_of(data, decoder)
        assert fault is None or (fault.place == "here" and fault.reason)


@given(st.binary(max_size=100) | SURROGATES)
def test_what_is_read_is_json_to_everybody_else_too(data: bytes | str) -> None:
    if fault_of(data, ANYTHING) is None:
        json.loads(data)


@pytest.mark.parametrize(
    "data", [b"\xff", "\ud800", '{"type":"whole","parts":"\ud800"}', b'"\xff"']
)
def test_text_that_is_no_unicode_is_refused(data: bytes | str) -> None:
    reason_of(data)
    reason_of(data, ANYTHING)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_tower_of_brackets_is_refused(opening: str) -> None:
    assert "recursion" in reason_of(opening * 100_000, ANYTHING)


def test_a_number_of_any_length_is_read_or_refused() -> None:
    for digits in (19, 20, 4_000, 5_000, 50_000):
        data = f'{{"type":"whole","parts":[{{"number":{"9" * digits}}}]}}'
        fault = fault_of(data)
        assert fault is None or "out of range" in fault.reason


def test_the_reason_says_where() -> None:
    assert "$.parts[1].number" in reason_of(
        b'{"type":"whole","parts":[{"number":1},{"number":"2"}]}'
    )


def test_an_unknown_field_is_refused_at_every_level() -> None:
    assert "extra" in reason_of(b'{"type":"whole","parts":[],"extra":1}')
    assert "extra" in reason_of(b'{"type":"whole","parts":[{"number":1,"extra":1}]}')


@pytest.mark.parametrize("tag", ['"hole"', "1", "null", '["whole"]'])
def test_another_tag_is_another_message(tag: str) -> None:
    assert "$.type" in reason_of(f'{{"type":{tag},"parts":[]}}')


def test_a_message_is_not_changed_after_it_was_read() -> None:
    whole = decode_json(DECODER, "here", b'{"type":"whole","parts":[]}')
    with pytest.raises(AttributeError):
        whole.parts = (Part(1),)  # type: ignore[misc]
