"""The audit record as a hash chain. Pure: what `controld audit verify` and the store share.

    hash(1) = SHA-256(32 zero bytes ‖ record(1))      hash(n) = SHA-256(hash(n-1) ‖ record(n))

A record is canonical JSON (sorted keys) of every column of its row, so that no edit of any of
them goes unseen. Sequence numbers count from 1 without a gap. A chain by itself cannot show that
its end is missing, or that all of it was written anew: signed heads that others keep can.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from rclib.wire.ids import ChainHash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.wire.control import AuditHead

GENESIS: Final = ChainHash(bytes(32))


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
    """The first row that is not, or not known to be, what was written."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found."""

    rows: int
    """How many rows from the first on are as they were written."""
    head: ChainHash
    fault: Fault | None
    confirmed: int = 0
    """The newest row that a head vouches for; what comes behind is vouched for by nobody yet."""


def chain_hash(previous: ChainHash, record: Record) -> ChainHash:
    encoded = msgspec.json.encode(record, order="sorted")
    return ChainHash(hashlib.sha256(previous + encoded).digest())


def verify_chain(rows: Iterable[tuple[Record, bytes]], heads: Iterable[AuditHead] = ()) -> Verdict:
    """Walk the chain in the order of its rows, up to the first fault.

    `heads` are those whose signature was found good, from wherever, in any order.
    """
    waiting = deque(sorted(heads, key=lambda head: head.seq))
    newest, count, confirmed = GENESIS, 0, 0
    for record, stored in rows:
        expected = count + 1
        if record.seq != expected:
            reason = f"row {expected} is missing: the next row found is {record.seq}"
            return Verdict(count, newest, Fault(expected, reason), confirmed)
        computed = chain_hash(newest, record)
        if computed != stored:
            reason = f"row {expected} was changed, or one before it was replaced"
            return Verdict(count, newest, Fault(expected, reason), confirmed)
        while waiting and waiting[0].seq == expected:
            if waiting.popleft().chain_hash != computed:
                return Verdict(confirmed, newest, _forked(confirmed + 1, expected), confirmed)
            confirmed = expected
        newest, count = computed, expected
    if waiting:
        missing, last = count + 1, waiting[-1].seq
        reason = (
            f"rows {missing} to {last} are missing: a signed head vouches for row {last}, so the "
            "record was cut off, or an older copy of the database was put back"
        )
        return Verdict(count, newest, Fault(missing, reason), confirmed)
    return Verdict(count, newest, None, confirmed)


def _forked(first: int, last: int) -> Fault:
    rows = f"row {last}" if first == last else f"a row from {first} to {last}"
    return Fault(
        first,
        f"{rows} is not the one that a signed head vouches for: the chain is whole, but from "
        "there on it is another one (rows were replaced and all hashes made anew)",
    )
