"""`controld init`: from nothing to a data directory that runs.

Everything is made in a directory beside the wanted one and moved there in one step, so that a
failure leaves nothing half-written.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from controld import store_audit, store_organisations, store_users
from controld.api_types import PlainName
from controld.certificates import Authority, CertificateError
from controld.codes import new_password
from controld.config import HostName, RelayConfig
from controld.passwords import Passwords
from controld.records import Entry
from controld.roles import Role
from controld.store_offline import write_offline
from controld.store_url import PostgresServer, SqliteFile
from rclib.runtime.config_text import render_toml
from rclib.runtime.errors import OperatorError, StartError
from rclib.runtime.files import write_atomic
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.store import Tx
    from controld.store_url import Database
    from rclib.runtime.net import Endpoint

CONFIG_NAME: Final = "controld.toml"
_PUBLIC: Final = 0o644


class InitError(OperatorError):
    """The directory cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says."""

    directory: Path
    host: str
    listen: Endpoint
    also: Sequence[str]
    """Further names and addresses for the certificate."""
    relays: Sequence[RelayConfig]
    stun: Sequence[str]
    organisation: str
    admin: str
    database: PostgresServer | None = None
    """None: a file in the directory."""
    database_password: Path | None = None
    """The file that holds it."""


def initialise(wanted: Wanted, now_ms: int) -> str:
    """Make the directory and return the first administrator's one-time password.

    Raises InitError.
    """
    target = wanted.directory.absolute()
    _check(wanted, target)
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        password = _fill(staging, wanted, now_ms)
        # An empty directory is replaced; one that filled up meanwhile makes this fail.
        staging.rename(target)
    except (OSError, CertificateError, StartError) as exc:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise InitError(f"{target}: {exc}; nothing was written") from None
    return password


def issue_certificate(data: Path, hosts: Sequence[str], out: Path) -> None:
    """Issue `cert.pem` and `key.pem` for a relay from this installation's CA; raises InitError."""
    tls = data / "tls"
    try:
        authority = Authority.load((tls / "ca.pem").read_bytes(), (tls / "ca-key.pem").read_bytes())
        certificate, key = authority.issue(hosts, dt.datetime.now(dt.UTC))
        out.mkdir(parents=True, exist_ok=True)
        _write_new(out / "key.pem", key)
        _write_new(out / "cert.pem", certificate, _PUBLIC)
        write_atomic(out / "ca.pem", authority.certificate_pem, _PUBLIC)
    except (OSError, CertificateError) as exc:
        raise InitError(f"no certificate was issued: {exc}") from None


def _check(wanted: Wanted, target: Path) -> None:
    try:
        msgspec.convert(wanted.host, HostName)
        for name in (wanted.organisation, wanted.admin):
            msgspec.convert(name, PlainName)
    except msgspec.ValidationError as exc:
        raise InitError(f"host, organisation or administrator: {exc}") from None
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InitError(
            f"{target} is not empty; name a new directory, or move the old one away first "
            "(init never overwrites an installation)"
        )


def _fill(directory: Path, wanted: Wanted, now_ms: int) -> str:
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    tls = directory / "tls"
    tls.mkdir(mode=0o700)
    authority = Authority.create(wanted.host, now)
    hosts = list(dict.fromkeys((wanted.host, *wanted.also)))
    certificate, key = authority.issue(hosts, now)
    write_atomic(tls / "ca.pem", authority.certificate_pem, _PUBLIC)
    write_atomic(tls / "ca-key.pem", authority.key_pem)
    write_atomic(tls / "server.pem", certificate, _PUBLIC)
    write_atomic(tls / "server-key.pem", key)
    for name in ("token-key", "audit-key"):
        _write_signing_key(directory, name)
    database = wanted.database or SqliteFile(directory / "controld.db")
    password = _fill_database(database, wanted, now_ms)
    write_atomic(directory / CONFIG_NAME, _config_text(wanted).encode())
    return password


def _write_signing_key(directory: Path, name: str) -> None:
    key = Ed25519PrivateKey.generate()
    write_atomic(
        directory / f"{name}.pem",
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_atomic(directory / f"{name}.pub.pem", public, _PUBLIC)


def _fill_database(database: Database, wanted: Wanted, now_ms: int) -> str:
    password = new_password()
    if isinstance(database, SqliteFile):
        database.path.touch(mode=0o600)
    password_hash = Passwords().hash_now(password)

    def work(tx: Tx) -> None:
        if store_organisations.has_organisations(tx):
            raise InitError(f"{database} is in use; name an empty database")
        organisation = store_organisations.add_organisation(tx, wanted.organisation, now_ms)
        role = Role.ADMINISTRATOR
        admin = store_users.add_user(tx, organisation, wanted.admin, role, password_hash, now_ms)
        for action, subject in (
            (AuditAction.CONTROLD_INITIALISED, ""),
            (AuditAction.USER_CREATED, admin.id),
        ):
            entry = Entry(action=action, organisation=organisation, subject=subject)
            store_audit.append(tx, entry, now_ms)

    write_offline(database, work)
    return password


def _config_text(wanted: Wanted) -> str:
    document = {
        "host": wanted.host,
        "listen": str(wanted.listen),
        "hosts": list(wanted.also),
        **_database_keys(wanted),
        "token_key": "token-key.pem",
        "audit_key": "audit-key.pem",
        "tls": {"certificate": "tls/server.pem", "key": "tls/server-key.pem"},
        "stun": list(wanted.stun),
        "relays": [{"id": relay.id, "url": relay.url} for relay in wanted.relays],
    }
    if not wanted.stun:
        del document["stun"]
    if not wanted.relays:
        del document["relays"]
    if not wanted.also:
        del document["hosts"]
    return (
        "# Written by `controld init`. Other keys and their defaults: controld --check-config\n"
        + render_toml(document)
    )


def _database_keys(wanted: Wanted) -> dict[str, str]:
    match wanted.database:
        case PostgresServer(url) if wanted.database_password is not None:
            shown = url.set(drivername="postgresql", password=None)
            return {
                "database": shown.render_as_string(),
                "database_password": str(wanted.database_password.absolute()),
            }
        case PostgresServer(url):
            return {"database": url.set(drivername="postgresql").render_as_string()}
        case _:
            return {"database": "controld.db"}


def _write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that must not exist yet: somebody may be using the old key."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
