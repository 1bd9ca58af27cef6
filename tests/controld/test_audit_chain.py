from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controld.audit_chain import GENESIS, Record, chain_hash, verify_chain


def chain(length: int) -> list[tuple[Record, bytes]]:
    rows, head = [], GENESIS
    for seq in range(1, length + 1):
        record = Record(
            seq=seq,
            at_ms=seq,
            organisation=None,
            actor="a",
            actor_name="",
            source="",
            action="login_failed",
            session=None,
            subject="",
            detail="{}",
        )
        head = chain_hash(head, record)
        rows.append((record, head))
    return rows


def test_an_untouched_chain_is_unbroken() -> None:
    verdict = verify_chain(chain(5))
    assert (verdict.rows, verdict.fault, verdict.head) == (5, None, chain(5)[-1][1])


@given(
    st.integers(0, 9),
    st.sampled_from(
        [
            {"at_ms": 0},
            {"actor": "b"},
            {"source": "x"},
            {"detail": "{ }"},
            {"session": "s"},
            {"organisation": "o"},
            {"endpoint_gap": 1},
            {"subject": "x"},
            {"actor": b"a"},
        ]
    ),
)
def test_an_edit_of_any_column_is_found_at_its_row(row: int, change: dict[str, Any]) -> None:
    rows = chain(10)
    rows[row] = (replace(rows[row][0], **change), rows[row][1])
    fault = verify_chain(rows).fault
    assert fault is not None
    assert fault.seq == row + 1


@given(st.integers(0, 8))
def test_a_deleted_row_is_named(row: int) -> None:
    rows = chain(10)
    del rows[row]
    fault = verify_chain(rows).fault
    assert fault is not None
    assert fault.seq == row + 1
    assert "missing" in fault.reason


@given(st.integers(0, 8))
def test_exchanged_rows_are_found(row: int) -> None:
    rows = chain(10)
    first, second = rows[row], rows[row + 1]
    rows[row] = (replace(second[0], seq=first[0].seq), second[1])
    rows[row + 1] = (replace(first[0], seq=second[0].seq), first[1])
    fault = verify_chain(rows).fault
    assert fault is not None
    assert fault.seq == row + 1


@given(st.integers(1, 9))
def test_a_row_replaced_with_a_matching_hash_is_found_at_its_successor(row: int) -> None:
    rows = chain(10)
    forged = replace(rows[row - 1][0], actor="somebody else")
    previous = rows[row - 2][1] if row > 1 else GENESIS
    rows[row - 1] = (forged, chain_hash(previous, forged))
    fault = verify_chain(rows).fault
    assert fault is not None
    assert fault.seq == row + 1
