"""The commands besides running; those on the record are in cli_audit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from controld import (
    cli_audit,
    cli_backup,
    store_attempts,
    store_audit,
    store_factors,
    store_passkeys,
    store_subjects,
    store_users,
)
from controld.codes import new_password
from controld.config import ControldConfig, RelayConfig
from controld.initialise import CONFIG_NAME, Wanted, initialise, issue_certificate
from controld.passwords import Passwords, cost_of
from controld.records import Actor, Entry
from controld.store_offline import write_offline
from controld.store_url import PostgresServer, parse_database
from rclib.runtime.clock import wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError
from rclib.runtime.net import parse_endpoint
from rclib.runtime.secret import read_secret
from rclib.runtime.supervisor import EXIT_OK, tell_operator
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.store import Tx
    from controld.store_url import Database

COMMANDS: Final = ("init", "certificate", "audit", "backup", "restore", "users")
HELP: Final = "commands: init, certificate, audit, backup, restore, users (each with --help)"


def main(argv: Sequence[str]) -> int:
    """Run one command and return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
    except OperatorError as exc:
        return tell_operator("controld", [exc])
    return status


def _init(arguments: argparse.Namespace) -> int:
    wanted = Wanted(
        directory=arguments.directory,
        host=arguments.host,
        listen=arguments.listen,
        also=arguments.also,
        relays=arguments.relay,
        stun=tuple(arguments.stun),
        organisation=arguments.organisation,
        admin=arguments.admin,
        database=_server(arguments),
        database_password=arguments.database_password,
    )
    password = initialise(wanted, wall_ms())
    directory = arguments.directory
    _say(f"{directory} is ready.")
    _say(f"First administrator: {arguments.admin}")
    _say(f"One-time password:   {password}")
    _say("It is shown only now, and has to be changed at the first login.")
    _say(f"Start: controld --config {directory / CONFIG_NAME}")
    _say(f"Relays need {directory / 'token-key.pub.pem'}; ends trust {directory / 'tls/ca.pem'}.")
    return EXIT_OK


def _certificate(arguments: argparse.Namespace) -> int:
    issue_certificate(arguments.directory, arguments.host, arguments.out)
    _say(f"{arguments.out}: cert.pem, key.pem and ca.pem for {', '.join(arguments.host)}")
    return EXIT_OK


def _reset_password(arguments: argparse.Namespace) -> int:
    database = _database(arguments.config)
    password = new_password()
    config = load_config(ControldConfig, arguments.config)
    password_hash = Passwords(cost_of(config.passwords)).hash_now(password)

    def work(tx: Tx) -> bool:
        user = store_users.find_user_by_name(tx, arguments.name)
        if user is None:
            return False
        store_users.set_password(tx, user.id, password_hash, must_change=True)
        store_attempts.forget(tx, store_users.name_key(user.name))
        store_attempts.forget_devices(tx, user.id)
        had_factor = store_factors.remove_totp(tx, user.id)
        had_passkey = store_passkeys.remove_all(tx, user.id)
        had_link = store_subjects.remove_all(tx, user.id)
        entry = Entry(
            action=AuditAction.PASSWORD_CHANGED,
            organisation=user.organisation,
            actor=Actor("console", "controld users reset-password"),
            subject=user.id,
            detail={
                "second_factor_removed": "yes" if had_factor or had_passkey else "no",
                "provider_removed": "yes" if had_link else "no",
            },
        )
        store_audit.append(tx, entry, wall_ms())
        return True

    if not write_offline(database, work):
        raise OperatorError(f"there is no user called {arguments.name!r}")
    _say(f"One-time password of {arguments.name}: {password}")
    return EXIT_OK


def _database(config: Path) -> Database:
    return load_config(ControldConfig, config).database_in(config.parent)


def _server(arguments: argparse.Namespace) -> PostgresServer | None:
    """What --database names; raises OperatorError."""
    if arguments.database is None:
        return None
    file = arguments.database_password
    try:
        password = read_secret(str(file.absolute()), base=None) if file is not None else None
        server = parse_database(arguments.database, password, Path())
    except ValueError as exc:
        raise OperatorError(f"--database: {exc}") from None
    if not isinstance(server, PostgresServer):
        raise OperatorError("--database: postgresql://USER@HOST/NAME")
    return server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="controld")
    commands = parser.add_subparsers(required=True)

    init = commands.add_parser("init", help="make a data directory that is ready to run")
    init.add_argument("directory", type=Path)
    init.add_argument("--host", required=True, help="name or address gateways and PCs will dial")
    init.add_argument(
        "--also", action="append", default=[], metavar="HOST", help="one more for the certificate"
    )
    init.add_argument("--listen", type=_endpoint, default="0.0.0.0:443", metavar="ADDR:PORT")
    init.add_argument(
        "--relay", type=_relay, action="append", default=[], metavar="ID=wss://HOST/PATH"
    )
    init.add_argument("--stun", action="append", default=[], metavar="HOST:PORT")
    init.add_argument("--organisation", default="default", metavar="NAME")
    init.add_argument("--admin", default="admin", metavar="NAME")
    init.add_argument(
        "--database", metavar="URL", help="postgresql://USER@HOST/NAME; a file if not given"
    )
    init.add_argument(
        "--database-password", type=Path, metavar="FILE", help="the file that holds its password"
    )
    init.set_defaults(command=_init)

    certificate = commands.add_parser("certificate", help="issue one for a relay from our CA")
    certificate.add_argument("directory", type=Path, help="the data directory")
    certificate.add_argument("--host", required=True, action="append", metavar="HOST")
    certificate.add_argument("--out", required=True, type=Path, metavar="DIR")
    certificate.set_defaults(command=_certificate)

    cli_audit.add_commands(commands)
    cli_backup.add_commands(commands)

    users = commands.add_parser("users", help="help a user back in").add_subparsers(required=True)
    reset = users.add_parser("reset-password", help="set a one-time password; controld stopped")
    reset.add_argument("name")
    reset.add_argument("--config", required=True, type=Path, metavar="FILE")
    reset.set_defaults(command=_reset_password)
    return parser


def _endpoint(text: str) -> object:
    try:
        return parse_endpoint(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _relay(text: str) -> RelayConfig:
    name, _, url = text.partition("=")
    try:
        return msgspec.convert({"id": name, "url": url}, RelayConfig)
    except msgspec.ValidationError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}; like eu1=wss://relay.example") from None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
