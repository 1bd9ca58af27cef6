"""What is enrolled: gateways with their policy and devices, and technicians' computers."""

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
    text,
)

from controld.schema.base import metadata

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
