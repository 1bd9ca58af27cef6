from __future__ import annotations

import string

import pytest

from ams.words import TABLES, WORDS
from rclib.pages.language import LANGUAGES


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(WORDS))
def test_every_sentence_is_there_in_every_language_with_the_same_gaps(key: str) -> None:
    texts = WORDS[key]
    assert len(texts) == len(LANGUAGES)
    assert all(texts)
    assert len({frozenset(gaps(text)) for text in texts}) == 1


def test_no_key_stands_in_two_tables() -> None:
    assert len(WORDS) == sum(len(table) for table in TABLES)
