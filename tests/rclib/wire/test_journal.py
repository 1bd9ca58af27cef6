from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.errors import DecodeError
from rclib.wire.identity import sign
from rclib.wire.ids import IdentityKey
from rclib.wire.journal import (
    GENESIS,
    JournalLine,
    decode_line,
    digest_of,
    encode_line,
    make_line,
    verify,
)

if TYPE_CHECKING:
    from rclib.wire.ids import Signature

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = IdentityKey(KEY.public_key().public_bytes_raw())


def signer(signed: bytes) -> Signature:
    return sign(KEY, signed)


def journal(first: int, last: int) -> list[bytes]:
    lines: list[bytes] = []
    previous = GENESIS
    for seq in range(1, last + 1):
        event = AuditEvent(seq, seq, AuditAction.ACCESS_CHANGED, None, "page", {"n": str(seq)})
        line = make_line(previous, event, signer)
        previous = digest_of(line)
        lines.append(encode_line(line))
    return lines[first - 1 :]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 20), (7, 20)])
def test_an_untouched_journal_verifies_also_without_its_oldest_part(first: int, last: int) -> None:
    result = verify(journal(first, last), PUBLIC)
    assert (result.first_seq, result.last_seq, result.fault) == (first, last, None)


def test_an_empty_one_claims_nothing() -> None:
    result = verify([], PUBLIC)
    assert (result.first_seq, result.last_seq, result.fault) == (0, 0, None)


@given(st.integers(0, 9), st.data())
def test_a_changed_left_out_or_moved_line_is_named(at: int, data: st.DataObject) -> None:
    lines = journal(1, 12)
    kind = data.draw(st.sampled_from(["change", "delete", "swap", "insert", "resign"]))
    if kind == "change":
        lines[at] = lines[at].replace(b'"page"', b'"door"')
    elif kind == "delete":
        del lines[at]
        if at == 0:
            lines[0] = lines[0].replace(b'"seq":2', b'"seq":1')
    elif kind == "swap":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    elif kind == "insert":
        lines.insert(at + 1, lines[at])
    else:
        stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
        old = decode_line(lines[at])
        forged = make_line(old.previous, old.event, lambda signed: sign(stranger, signed))
        lines[at] = encode_line(forged)
    result = verify(lines, PUBLIC)
    assert result.fault is not None
    assert result.last_seq <= at + 2


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line_or_a_decode_error(data: bytes) -> None:
    try:
        line = decode_line(data)
    except DecodeError:
        return
    assert isinstance(line, JournalLine)
