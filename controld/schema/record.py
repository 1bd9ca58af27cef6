"""The record, its signed heads, and how far it was forwarded."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from controld.schema.base import SEQUENCE, metadata

audit: Final = Table(
    "audit",
    metadata,
    # Assigned by the store, gap-free; the database's own counters skip after a rollback.
    Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("organisation", Text, ForeignKey("organisations.id")),
    Column("actor", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("session", Text),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("endpoint", Text),
    Column("endpoint_seq", BigInteger),
    Column("endpoint_at_ms", BigInteger),
    Column("endpoint_gap", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("endpoint", "endpoint_seq"),
    Index("ix_audit_organisation", "organisation", "seq"),
    Index("ix_audit_session", "session", "seq"),
)

audit_heads: Final = Table(
    "audit_heads",
    metadata,
    Column("seq", SEQUENCE, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("log_key", LargeBinary, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

audit_forwards: Final = Table(  # how far the record has gone to a syslog server
    "audit_forwards",
    metadata,
    Column("target", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
