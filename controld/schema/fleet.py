"""Several controlds on one database: who they are, who is linked where, and their letters."""

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
