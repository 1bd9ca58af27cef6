"""Which database: a file of this machine, or a PostgreSQL that several controlds share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from rclib.runtime.secret import SecretStr


@dataclass(frozen=True, slots=True)
class SqliteFile:
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def url(self) -> URL:
        return URL.create("sqlite", database=str(self.path))


@dataclass(frozen=True, slots=True)
class PostgresServer:
    url: URL

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


Database: TypeAlias = SqliteFile | PostgresServer


def parse_database(text: str, password: SecretStr | None, base: Path) -> Database:
    """Read `database` of the configuration: a file below `base`, or a URL; raises ValueError."""
    if "://" not in text:
        if not text:
            raise ValueError("name a file, or postgresql://USER@HOST/NAME")
        return SqliteFile(base / text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(
            "not a database URL; like postgresql://controld@db.example/controld"
        ) from None
    if url.drivername != "postgresql":
        raise ValueError(
            f"{url.drivername} is not supported; name a file, or postgresql://USER@HOST/NAME",
        )
    if url.password is not None:
        raise ValueError(
            "the password does not stand in the configuration; write it into a file (mode 0600) "
            "and name that one as database_password",
        )
    if not url.database or not url.username:
        raise ValueError("the URL lacks user or database: postgresql://USER@HOST/NAME")
    secret = password.reveal() if password is not None else None
    return PostgresServer(url.set(drivername="postgresql+asyncpg", password=secret))
