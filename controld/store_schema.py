"""The tables. `migrations/` builds them; a test compares the two."""

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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite makes its row number of an INTEGER key only, and that one has 64 bits there."""

organisations: Final = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
)

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),  # the name without letter case
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("failed_logins", Integer, nullable=False),  # since the last one that succeeded
    Column("disabled_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_users_organisation", "organisation"),
)

login_attempts: Final = Table(
    "login_attempts",
    metadata,
    Column("id", SEQUENCE, primary_key=True),
    Column("name_digest", LargeBinary, nullable=False),  # made-up names cost 32 bytes each
    Column("at_ms", BigInteger, nullable=False),
    Column("is_made_up", Boolean, nullable=False),
    Index("ix_login_attempts_name_digest", "name_digest", "at_ms"),
    Index("ix_login_attempts_at_ms", "at_ms"),
)

api_tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("idle_until_ms", BigInteger, nullable=False),
    Index("ix_api_tokens_user", "user"),
)

known_devices: Final = Table(  # browsers in which their user has logged in
    "known_devices",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("ix_known_devices_user", "user"),
)

totp_secrets: Final = Table(
    "totp_secrets",
    metadata,
    Column("user", Text, ForeignKey("users.id"), primary_key=True),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("last_step", BigInteger, nullable=False),  # newer ones only: each code once
    Column("confirmed_ms", BigInteger),
)

passkeys: Final = Table(
    "passkeys",
    metadata,
    Column("credential_id", LargeBinary, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_passkeys_user", "user"),
)

spent_challenges: Final = Table(
    "spent_challenges",
    metadata,
    Column("challenge_digest", LargeBinary, primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),
    Index("ix_spent_challenges_expires_ms", "expires_ms"),
)

oidc_subjects: Final = Table(  # who a user is to a provider of identities; never by e-mail
    "oidc_subjects",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_oidc_subjects_user", "user"),
)

recovery_codes: Final = Table(
    "recovery_codes",
    metadata,
    Column("code_digest", LargeBinary, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("used_ms", BigInteger),
    Index("ix_recovery_codes_user", "user"),
)

repeats: Final = Table(  # answers by Idempotency-Key, sealed under it
    "repeats",
    metadata,
    Column("key_digest", LargeBinary, primary_key=True),
    Column("request_digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_repeats_created_ms", "created_ms"),
)

personal_tokens: Final = Table(
    "personal_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("token_digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # JSON: only ever read as a whole
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    UniqueConstraint("user", "name"),
)

gateways: Final = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("organisation", "name"),
)

gateway_policies: Final = Table(
    "gateway_policies",
    metadata,
    Column("gateway", Text, ForeignKey("gateways.id"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("release", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("max_sessions", Integer, nullable=False),
    Column("max_duration_s", Integer, nullable=False),
    Column("idle_timeout_s", Integer, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("windows", Text, nullable=False),  # JSON: only ever read as a whole
)

clients: Final = Table(
    "clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisations.id"), nullable=False),
    Column("user", Text, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("user", "name"),
)

identities: Final = Table(  # one table for both kinds, so that a key can be enrolled only once
    "identities",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("identity_key", LargeBinary, nullable=False, unique=True),
    Column("enrolled_ms", BigInteger, nullable=False),
)

enrolments: Final = Table(
    "enrolments",
    metadata,
    Column("code_digest", LargeBinary, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Index("ix_enrolments_endpoint", "endpoint"),
)

devices: Final = Table(
    "devices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("gateway", Text, ForeignKey("gateways.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("virtual", Integer),  # which address of VIRTUAL_NETWORK; none for IPv6 devices
    Column("source_nat", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("removed_ms", BigInteger),  # past sessions still name the device
    Index("ix_devices_gateway", "gateway"),
    Index(
        "uq_devices_virtual",
        "virtual",
        unique=True,
        sqlite_where=text("removed_ms IS NULL"),
        postgresql_where=text("removed_ms IS NULL"),
    ),
)

services: Final = Table(
    "services",
    metadata,
    Column("device", Text, ForeignKey("devices.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("protocol", Text, nullable=False),
    Column("port", Integer),
)

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

instances: Final = Table(  # controlds that serve one PostgreSQL together
    "instances",
    metadata,
    Column("id", Text, primary_key=True),
    Column("family", LargeBinary, nullable=False),  # what all have to have in common
    Column("joined_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),
)

links: Final = Table(  # where each endpoint is, or was last, linked
    "links",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("instance", Text, ForeignKey("instances.id")),  # none: it is gone
    Column("claim", BigInteger, nullable=False),  # the number of the change that made this link
    Column("changed", BigInteger, nullable=False),  # of the newest change; counts over all links
    Column("gone_ms", BigInteger),
    Column("software", Text, nullable=False),  # the version on this link
    Column("state", Text),  # JSON: what a gateway said on this link
    Column("shut", Text),  # why the control plane wants it closed
    UniqueConstraint("changed"),
    Index("ix_links_instance", "instance"),
)

letters: Final = Table(  # messages to endpoints that another instance holds, or nobody
    "letters",
    metadata,
    Column("id", SEQUENCE, primary_key=True),
    Column("message", Text, nullable=False, unique=True),
    Column("endpoint", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("posted_ms", BigInteger, nullable=False),
    Index("ix_letters_endpoint", "endpoint", "id"),
)
