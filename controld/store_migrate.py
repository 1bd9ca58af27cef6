"""Brings a database to the schema of this release, and knows whether it is there.

Runs before the store opens its connections, and never beside them: SQLite up to 3.51.2 can
damage a write-ahead log that two connections write at once.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from controld.store_sqlite import CONNECT_ARGS, prepare
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from sqlalchemy import Connection


logging.getLogger("alembic").setLevel(logging.WARNING)  # says on every start that it began


def migrate(path: Path) -> None:
    """Create or upgrade the database file; blocks; raises StartError."""
    engine = create_engine(f"sqlite:///{path}", connect_args=CONNECT_ARGS)
    prepare(engine, begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            upgrade(connection)
    except CommandError as exc:
        raise StartError(
            f"{path} was written by a release this one does not know ({exc}); "
            "start the newer release, or restore the backup made before the upgrade"
        ) from None
    except DatabaseError as exc:
        raise StartError(
            f"{path} cannot be brought up to date: {exc.orig}; "
            "check the file, its permissions and the free space"
        ) from None
    finally:
        engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run the missing migrations, each in a transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
