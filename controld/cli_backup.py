"""controld backup | restore, for a database that is a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controld import backup
from controld.config import ControldConfig
from controld.store_url import SqliteFile
from rclib.runtime.clock import wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError
from rclib.runtime.supervisor import EXIT_OK

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public type for it
    back_up = commands.add_parser("backup", help="copy the database, also of a running controld")
    back_up.add_argument("out", type=Path, metavar="FILE", help="a new file")
    back_up.set_defaults(command=_back_up)

    restore = commands.add_parser("restore", help="put a backup back; controld stopped")
    restore.add_argument("copy", type=Path, metavar="FILE")
    restore.set_defaults(command=_restore)

    for each in (back_up, restore):
        each.add_argument("--config", required=True, type=Path, metavar="FILE")


def _back_up(arguments: argparse.Namespace) -> int:
    rows = backup.back_up(_file(arguments), arguments.out)
    _say(f"{arguments.out}: whole, {rows} rows on record.")
    _say("The keys beside the configuration are not in it; keep a copy of those, too.")
    return EXIT_OK


def _restore(arguments: argparse.Namespace) -> int:
    database = _file(arguments)
    aside = backup.restore(arguments.copy, database, wall_ms())
    _say(f"{database} is {arguments.copy} now.")
    if aside is not None:
        _say(f"What was there before is {aside}.")
    _say("Everybody has to log in again; unused enrolment codes and session links are void.")
    _say("What was changed since the backup is gone: look at users that were disabled since.")
    _say("Gateways hold newer heads of the record, and will say so: that is this restore.")
    return EXIT_OK


def _file(arguments: argparse.Namespace) -> SqliteFile:
    config = load_config(ControldConfig, arguments.config)
    database = config.database_in(arguments.config.parent)
    if not isinstance(database, SqliteFile):
        raise OperatorError(f"{database} is PostgreSQL's; use pg_dump and pg_restore")
    return database


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
