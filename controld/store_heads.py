"""The signed heads of the record: one about every hundred rows, never changed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select

from controld.schema.record import audit, audit_heads
from rclib.wire.control import AuditHead
from rclib.wire.ids import ChainHash, IdentityKey, Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx


def newest_row(tx: Tx) -> int:
    """The number of the record's newest row; 0 for none."""
    return tx.scalar(select(func.max(audit.c.seq))) or 0


def hash_of_row(tx: Tx, seq: int) -> ChainHash | None:
    found = tx.scalar(select(audit.c.hash).where(audit.c.seq == seq))
    return ChainHash(found) if found is not None else None


def add_head(tx: Tx, head: AuditHead) -> None:
    tx.execute(
        insert(audit_heads).values(
            seq=head.seq,
            at_ms=head.at_ms,
            log_key=head.log_key,
            chain_hash=head.chain_hash,
            signature=head.signature,
        )
    )


def newest_head(tx: Tx) -> AuditHead | None:
    query = select(audit_heads).order_by(audit_heads.c.seq.desc()).limit(1)
    row = tx.execute(query).mappings().first()
    return _head(row) if row is not None else None


def list_heads(tx: Tx) -> Sequence[AuditHead]:
    query = select(audit_heads).order_by(audit_heads.c.seq)
    return [_head(row) for row in tx.execute(query).mappings()]


def _head(row: RowMapping) -> AuditHead:
    return AuditHead(
        log_key=IdentityKey(row["log_key"]),
        seq=row["seq"],
        at_ms=row["at_ms"],
        chain_hash=ChainHash(row["chain_hash"]),
        signature=Signature(row["signature"]),
    )
