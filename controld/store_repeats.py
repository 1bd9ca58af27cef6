"""Answers to creating requests, so that a repetition gets the first one's answer.

An answer may hold a one-time code. It is kept sealed under a key that only the client's own
Idempotency-Key gives: who reads the database reads no code.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select

from controld.codes import digest
from controld.errors import ConflictError
from controld.schema.people import repeats

if TYPE_CHECKING:
    from controld.store import Tx
    from rclib.wire.ids import UserId

KEPT_MS: Final = 24 * 3600 * 1000
NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request that may come again under the same key."""

    user: UserId
    key: str
    request: bytes

    @property
    def name(self) -> bytes:
        return digest(f"name {self.user} {self.key}")

    @property
    def seal(self) -> AESGCM:
        return AESGCM(digest(f"seal {self.user} {self.key}"))


def find_answer(tx: Tx, repeat: Repeat, now_ms: int) -> bytes | None:
    """What the first request of this key was answered; raises ConflictError for another one."""
    row = tx.execute(
        select(repeats).where(
            repeats.c.key_digest == repeat.name, repeats.c.created_ms > now_ms - KEPT_MS
        )
    ).first()
    if row is None:
        return None
    if row.request_digest != hashlib.sha256(repeat.request).digest():
        raise ConflictError(
            "idempotency_key_reused", "this Idempotency-Key belongs to another request"
        )
    sealed: bytes = row.answer
    return repeat.seal.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)


def keep_answer(tx: Tx, repeat: Repeat, answer: bytes, now_ms: int) -> None:
    tx.execute(delete(repeats).where(repeats.c.created_ms <= now_ms - KEPT_MS))
    nonce = secrets.token_bytes(NONCE_BYTES)
    tx.execute(
        insert(repeats).values(
            key_digest=repeat.name,
            request_digest=hashlib.sha256(repeat.request).digest(),
            answer=nonce + repeat.seal.encrypt(nonce, answer, None),
            created_ms=now_ms,
        )
    )
