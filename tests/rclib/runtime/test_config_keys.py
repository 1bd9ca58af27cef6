from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.config_keys import missing_keys, unknown_key


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    port: int
    host: str = ""


class Fast(msgspec.Struct, frozen=True, tag_field="kind", tag="fast"):
    speed: int


class Slow(msgspec.Struct, frozen=True, tag_field="kind", tag="slow"):
    delay_s: float


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    inner: Inner
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    either: Fast | Slow | None = None
    text_or_table: str | Inner = ""


tables = st.fixed_dictionaries(
    {"port": st.integers()},
    optional={"host": st.text(max_size=3), "prot": st.integers()},
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "inner": tables,
        "many": st.lists(tables, max_size=3),
        "named": st.dictionaries(st.text(min_size=1, max_size=3), tables, max_size=3),
        "innner": st.integers(),
    },
)


@given(documents)
def test_a_document_without_complaint_is_one_msgspec_takes(document: dict[str, Any]) -> None:
    complaint = unknown_key(Outer, document) or missing_keys(Outer, document)

    try:
        msgspec.convert(document, Outer)
    except msgspec.ValidationError:
        assert complaint
    else:
        assert not complaint


def test_a_tagged_table_is_judged_by_its_tag() -> None:
    table = {"inner": {"port": 1}, "either": {"kind": "slow", "speed": 1}}
    found = unknown_key(Outer, table)

    assert found is not None
    assert found[0] == "either.speed"
    assert missing_keys(Outer, table) == ["either.delay_s"]


def test_a_value_of_the_wrong_shape_is_left_to_the_conversion() -> None:
    for document in ({"inner": 1}, {"inner": {"port": 1}, "many": {"port": 1}}):
        assert unknown_key(Outer, document) is None


@pytest.mark.parametrize("value", ["text", {"port": 1}])
def test_a_union_of_text_and_table_takes_both(value: object) -> None:
    document = {"inner": {"port": 1}, "text_or_table": value}

    assert unknown_key(Outer, document) is None
    assert missing_keys(Outer, document) == []


def test_of_several_keys_of_that_name_the_first_is_named() -> None:
    found = unknown_key(Outer, {"port": 1})

    assert found == ("port", "did you mean 'inner.port'?")


def test_a_key_in_the_wrong_table_is_pointed_to_the_right_one() -> None:
    found = unknown_key(Outer, {"delay_s": 1})

    assert found == ("delay_s", "did you mean 'either.delay_s'?")
