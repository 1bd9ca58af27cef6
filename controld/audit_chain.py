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


class ChainWalk:
    """A walk along the chain in the order of its rows, a portion at a time, up to the first fault.

    `heads` are those whose signature was found good, from wherever, in any order.
    """

    def __init__(self, heads: Iterable[AuditHead] = ()) -> None:
        self._waiting = deque(sorted(heads, key=lambda head: head.seq))
        self._newest = GENESIS
        self._count = 0
        self._confirmed = 0

    def take(self, rows: Iterable[tuple[Record, bytes]]) -> Verdict | None:
        """Walk on; None while there is no fault."""
        for record, stored in rows:
            expected = self._count + 1
            if record.seq != expected:
                reason = f"row {expected} is missing: the next row found is {record.seq}"
                return self._verdict(Fault(expected, reason))
            computed = chain_hash(self._newest, record)
            if computed != stored:
                reason = f"row {expected} was changed, or one before it was replaced"
                return self._verdict(Fault(expected, reason))
            while self._waiting and self._waiting[0].seq == expected:
                if self._waiting.popleft().chain_hash != computed:
                    fault = _forked(self._confirmed + 1, expected)
                    return Verdict(self._confirmed, self._newest, fault, self._confirmed)
                self._confirmed = expected
            self._newest, self._count = computed, expected
        return None

    def end(self) -> Verdict:
        """There are no further rows."""
        if self._waiting:
            missing, last = self._count + 1, self._waiting[-1].seq
            reason = (
                f"rows {missing} to {last} are missing: a signed head vouches for row {last}, so "
                "the record was cut off, or an older copy of the database was put back"
            )
            return self._verdict(Fault(missing, reason))
        return self._verdict(None)

    def _verdict(self, fault: Fault | None) -> Verdict:
        return Verdict(self._count, self._newest, fault, self._confirmed)


def verify_chain(rows: Iterable[tuple[Record, bytes]], heads: Iterable[AuditHead] = ()) -> Verdict:
    """Walk the whole chain; see ChainWalk."""
    walk = ChainWalk(heads)
    return walk.take(rows) or walk.end()


def _forked(first: int, last: int) -> Fault:
    rows = f"row {last}" if first == last else f"a row from {first} to {last}"
    return Fault(
        first,
        f"{rows} is not the one that a signed head vouches for: the chain is whole, but from "
        "there on it is another one (rows were replaced and all hashes made anew)",
    )
