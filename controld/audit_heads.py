"""When the record's head is signed, and what a head proves. Pure.

Every HEAD_ROWS rows, and HEAD_S after the first row without a head: so much, and no more, could
be cut off by whoever holds the database before the gateways have it in writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.wire.control import AuditHead
from rclib.wire.identity import audit_head_statement, is_signed_by, sign
from rclib.wire.ids import ChainHash, IdentityKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HEAD_ROWS: Final = 100
HEAD_S: Final = 60
MAX_AT_ONCE: Final = 50
"""Heads in one transaction; a longer arrear is worked off in several."""


def due_heads(newest: int, headed: int, headed_ms: int, now_ms: int) -> Iterator[int]:
    """The rows to sign now, if `headed` is the row of the newest head, made at `headed_ms`."""
    seq = headed
    for _ in range(MAX_AT_ONCE):
        if newest - seq < HEAD_ROWS:
            break
        seq += HEAD_ROWS
        yield seq
    else:
        return
    # A clock that was set back must not keep heads away until it has caught up.
    is_late = not 0 <= now_ms - headed_ms < HEAD_S * 1000
    if newest > seq and is_late:
        yield newest


def sign_head(key: Ed25519PrivateKey, seq: int, chain_hash: ChainHash, now_ms: int) -> AuditHead:
    return AuditHead(
        log_key=IdentityKey(key.public_key().public_bytes_raw()),
        seq=seq,
        at_ms=now_ms,
        chain_hash=chain_hash,
        signature=sign(key, audit_head_statement(seq, now_ms, chain_hash)),
    )


def is_genuine(head: AuditHead, log_key: IdentityKey) -> bool:
    """Whether the holder of the record's key made this head."""
    statement = audit_head_statement(head.seq, head.at_ms, head.chain_hash)
    return head.log_key == log_key and is_signed_by(log_key, statement, head.signature)
