"""Organisations, their users, and what these log in with."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from controld.schema.base import SEQUENCE, metadata

organisations: Final = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("is_operator", Boolean, nullable=False),  # whose administrators run this
    Column("revision", Integer, nullable=False),
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
    Column("revision", Integer, nullable=False),
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
