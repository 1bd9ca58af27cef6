"""Checking the record against itself and against every head there is.

Heads come from the database and, which is what makes a cut or exchanged record show, from the
files that gateways keep of what they were sent (`audit-heads.jsonl` in rcd's state directory).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from controld import store_audit, store_heads
from controld.audit_chain import Fault, Verdict, verify_chain
from controld.audit_heads import is_genuine
from controld.store_offline import read_offline
from rclib.runtime.errors import FileTooLargeError, OperatorError
from rclib.runtime.files import read_bounded
from rclib.wire.control import AuditHead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controld.store import Tx
    from controld.store_url import Database
    from rclib.wire.ids import IdentityKey

MAX_HEADS_BYTES: Final = 4 * 1024 * 1024


def verify_database(
    database: Database, log_key: IdentityKey, kept: Sequence[AuditHead] = ()
) -> Verdict:
    """Walk the record; `kept` are heads from outside, already found genuine. Blocks; StartError."""

    def work(tx: Tx) -> Verdict:
        stored = store_heads.list_heads(tx)
        verdict = verify_chain(store_audit.each_row(tx, store_audit.Wanted()), [*stored, *kept])
        return with_forged(verdict, first_forged(stored, log_key))

    return read_offline(database, work)


def first_forged(heads: Sequence[AuditHead], log_key: IdentityKey) -> AuditHead | None:
    """The first of these that is not signed by the record's key."""
    return next((head for head in heads if not is_genuine(head, log_key)), None)


def with_forged(verdict: Verdict, forged: AuditHead | None) -> Verdict:
    """A head that is not genuine is a fault of its row, unless one before it is."""
    if forged is None or (verdict.fault is not None and verdict.fault.seq <= forged.seq):
        return verdict
    reason = f"the head that the database has of row {forged.seq} is not signed by this record"
    return Verdict(forged.seq - 1, verdict.head, Fault(forged.seq, reason))


def read_heads(path: Path, log_key: IdentityKey) -> list[AuditHead]:
    """Read a gateway's file, one JSON head a line; raises OperatorError."""
    try:
        lines = read_bounded(path, MAX_HEADS_BYTES).splitlines()
        heads = [msgspec.json.decode(line, type=AuditHead) for line in lines]
    except (OSError, FileTooLargeError, msgspec.MsgspecError, UnicodeError) as exc:
        raise OperatorError(f"{path} cannot be used: {exc}") from None
    stranger = first_forged(heads, log_key)
    if stranger is not None:
        raise OperatorError(
            f"{path}: the head of row {stranger.seq} is not signed by this record's key; it is "
            "another controld's file, or the key in use is not the one the record began with"
        )
    return heads
