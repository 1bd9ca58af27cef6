from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rclib.wire.check_phrase import WORD_LIST, WORDS, check_phrase
from rclib.wire.ids import IdentityKey

keys = st.binary(min_size=32, max_size=32).map(IdentityKey)


def differ_in_one_letter(one: str, other: str) -> bool:
    """Substituted, added or left out."""
    short, long = sorted((one, other), key=len)
    if len(short) == len(long):
        return sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def test_every_byte_has_its_word() -> None:
    assert len(WORD_LIST) == len(set(WORD_LIST)) == 256
    assert all(word.isascii() and word.islower() for word in WORD_LIST)


def test_no_two_words_are_mistaken_for_each_other_by_one_letter() -> None:
    assert [pair for pair in combinations(WORD_LIST, 2) if differ_in_one_letter(*pair)] == []


@settings(max_examples=15, deadline=None)
@given(keys, keys, st.integers(0, 255))
def test_another_key_on_either_side_gives_another_phrase(
    technician: IdentityKey, gateway: IdentityKey, bit: int
) -> None:
    phrase = check_phrase(technician, gateway)
    assert len(phrase) == WORDS
    assert phrase == check_phrase(technician, gateway)
    swapped = bytearray(gateway)
    swapped[bit // 8] ^= 1 << bit % 8
    assert check_phrase(technician, IdentityKey(bytes(swapped))) != phrase
    if technician != gateway:
        assert check_phrase(gateway, technician) != phrase
