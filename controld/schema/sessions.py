"""Sessions, what they may reach, who may use them, and their tickets."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from controld.schema.base import metadata

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisations.id"), nullable=False),
    Column("gateway", Text, ForeignKey("gateways.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("window_from_ms", BigInteger),
    Column("window_until_ms", BigInteger),
    Column("created_by", Text, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("requested_by", Text, ForeignKey("users.id")),
    Column("requested_ms", BigInteger),
    Column("released_by", Text),  # a user, or whom the plant's page names
    Column("released_ms", BigInteger),
    Column("release_signature", LargeBinary),
    Column("started_by", Text, ForeignKey("users.id")),
    Column("started_ms", BigInteger),
    Column("started_from", Text, nullable=False),
    Column("redeem_by_ms", BigInteger),
    Column("not_after_ms", BigInteger),
    Column("client", Text, ForeignKey("clients.id")),
    Column("technician_key", LargeBinary),
    Column("technician_signature", LargeBinary),
    Column("link_pair", Integer),
    Column("region", Text, nullable=False),
    Column("asked_plant", Boolean, nullable=False),
    Column("answer_by_ms", BigInteger),
    Column("lease_until_ms", BigInteger),
    Column("answered", Boolean, nullable=False),
    Column("path", Text),
    Column("ended_ms", BigInteger),
    Column("end_reason", Text),
    CheckConstraint(
        "state IN ('prepared', 'requested', 'released', 'starting', 'active',"
        " 'ended', 'refused', 'expired')",
        name="state",
    ),
    CheckConstraint(
        "state <> 'active' OR (client IS NOT NULL AND lease_until_ms IS NOT NULL"
        " AND not_after_ms IS NOT NULL AND link_pair IS NOT NULL)",
        name="active_has_lease",
    ),
    Index("ix_sessions_organisation", "organisation", "created_ms", "id"),
    Index("ix_sessions_gateway", "gateway", "state"),
    Index("ix_sessions_started_by", "started_by", "created_ms"),
    Index("ix_sessions_state", "state"),
    Index(
        "uq_sessions_link_pair",
        "link_pair",
        unique=True,
        sqlite_where=text("state IN ('starting', 'active')"),
        postgresql_where=text("state IN ('starting', 'active')"),
    ),
)

session_targets: Final = Table(
    "session_targets",
    metadata,
    Column("session", Text, ForeignKey("sessions.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("device", Text, ForeignKey("devices.id"), nullable=False),
    Column("protocol", Text, nullable=False),
    Column("port", Integer),
    Index("ix_session_targets_device", "device"),
)

session_users: Final = Table(
    "session_users",
    metadata,
    Column("session", Text, ForeignKey("sessions.id"), primary_key=True),
    Column("user", Text, ForeignKey("users.id"), primary_key=True),
    Index("ix_session_users_user", "user"),
)

tickets: Final = Table(
    "tickets",
    metadata,
    Column("ticket_digest", LargeBinary, primary_key=True),
    Column("session", Text, ForeignKey("sessions.id"), nullable=False),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Index("ix_tickets_session", "session"),
)
