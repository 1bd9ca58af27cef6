from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.config_text import render_toml

# TOML is UTF-8, which carries no lone surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
plain = st.one_of(
    text,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(text, values, max_size=5))
def test_what_is_written_reads_back_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(render_toml(document)) == document


def test_plain_keys_come_before_tables_so_that_they_stay_outside_of_them() -> None:
    rendered = render_toml({"table": {"a": 1}, "plain": 2, "tables": [{"b": 1}, {"b": 2}]})

    assert rendered == ("plain = 2\n\n[table]\na = 1\n\n[[tables]]\nb = 1\n\n[[tables]]\nb = 2\n")


def test_a_key_without_value_is_shown_as_a_comment() -> None:
    assert render_toml({"lan": None}) == "# lan is not set\n"
