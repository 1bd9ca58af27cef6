"""The audit record as a hash chain. Pure: what `controld audit verify` and the store share.

    hash(1) = SHA-256(32 zero bytes ‖ record(1))      hash(n) = SHA-256(hash(n-1) ‖ record(n))

A record is canonical JSON (sorted keys) of every column of its row, so that no edit of any of
them goes unseen. Sequence numbers count from 1 without a gap.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS: Final = bytes(32)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One row, without its hash."""

    seq: int
    at_ms: int
    organisation: str | None
    actor: str
    actor_name: str
    source: str
    action: str
    session: str | None
    subject: str
    detail: str
    """JSON text, hashed as it stands."""
    endpoint: str | None = None
    endpoint_seq: int | None = None
    endpoint_at_ms: int | None = None
    endpoint_gap: int = 0
    """How many of the endpoint's events are missing before this one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first row that is not what was written."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found."""

    rows: int
    head: bytes
    fault: Fault | None


def chain_hash(previous: bytes, record: Record) -> bytes:
    return hashlib.sha256(previous + msgspec.json.encode(record, order="sorted")).digest()


def verify_chain(rows: Iterable[tuple[Record, bytes]]) -> Verdict:
    """Walk the chain in the order of its rows, up to the first fault."""
    head, count = GENESIS, 0
    for record, stored in rows:
        expected = count + 1
        if record.seq != expected:
            reason = f"row {expected} is missing: the next row found is {record.seq}"
            return Verdict(count, head, Fault(expected, reason))
        computed = chain_hash(head, record)
        if computed != stored:
            reason = f"row {expected} was changed, or one before it was replaced"
            return Verdict(count, head, Fault(expected, reason))
        head, count = computed, expected
    return Verdict(count, head, None)
