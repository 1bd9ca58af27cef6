from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from controld import cli
from controld.schema import metadata
from controld.store_migrate import migrate
from controld.store_url import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable

DUMPS = Path(__file__).parents[1] / "data" / "controld"
"""One SQL dump of a database in use for each released schema, named by its release."""


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def config(data: Path) -> tuple[str, Path]:
    return ("--config", data / "controld.toml")


class TestBackup:
    """controld backup and restore."""

    async def test_a_backup_of_a_running_controld_comes_back(
        self,
        open_world: Callable[..., Any],
        data: Path,
        tmp_path: Path,
        config: tuple[str, Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        copy = tmp_path / "copy.db"
        async with open_world() as world:
            await world.gateway("before")
            code = (await world.admin.ok("POST", "/gateways", {"name": "x"}))["enrolment_code"]
            assert await asyncio.to_thread(run, "backup", copy, *config) == 0
            await world.gateway("after")
            old = world.admin.token
            refused = await asyncio.to_thread(run, "restore", copy, *config)
            assert refused == 2  # while it runs
            assert "in use by another controld" in capsys.readouterr().err
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert await asyncio.to_thread(run, "restore", copy, *config) == 0
        assert await asyncio.to_thread(run, "audit", "verify", *config) == 0
        async with open_world() as world:
            names = [g["name"] for g in (await world.admin.ok("GET", "/gateways"))["gateways"]]
            assert sorted(names) == ["before", "x"]
            assert "backup_restored" not in await world.actions()  # nobody's organisation
            assert (await world.anyone.as_(old)("GET", "/users")).status == 401
            from tests.controld.callers import End  # noqa: PLC0415

            request = End(world.anyone).request(code)
            assert (await world.anyone("POST", "/enrol", request)).status == 403
        (aside,) = data.glob("controld.db.before-restore-*[0-9]")
        with contextlib.closing(sqlite3.connect(aside)) as database:
            assert database.execute("SELECT count(*) FROM gateways").fetchone() == (3,)

    def test_a_backup_replaces_no_file(self, tmp_path: Path, config: tuple[str, Path]) -> None:
        copy = tmp_path / "copy.db"
        copy.write_text("mine")
        assert run("backup", copy, *config) == 2
        assert copy.read_text() == "mine"

    @pytest.mark.parametrize("damage", ["cut", "edited", "text"])
    def test_a_damaged_copy_is_not_put_back(
        self, data: Path, tmp_path: Path, config: tuple[str, Path], damage: str
    ) -> None:
        copy = tmp_path / "copy.db"
        assert run("backup", copy, *config) == 0
        if damage == "cut":
            copy.write_bytes(copy.read_bytes()[:-8192])
        elif damage == "text":
            copy.write_text("no database")
        else:
            with contextlib.closing(sqlite3.connect(copy)) as database, database:
                database.execute("DROP TRIGGER audit_no_update")
                database.execute("UPDATE audit SET actor = 'x' WHERE seq = 1")
        before = (data / "controld.db").read_bytes()
        assert run("restore", copy, *config) == 2
        assert (data / "controld.db").read_bytes() == before
        assert not list(data.glob("*restore*"))
        assert not list(data.glob(".controld.db*"))

    def test_a_database_that_was_lost_is_brought_back(
        self, data: Path, tmp_path: Path, config: tuple[str, Path]
    ) -> None:
        copy = tmp_path / "copy.db"
        assert run("backup", copy, *config) == 0
        (data / "controld.db").unlink()
        assert run("restore", copy, *config) == 0
        assert run("audit", "verify", *config) == 0


async def test_each_released_schema_and_this_one_migrate_from_their_dump(
    data: Path, tmp_path: Path
) -> None:
    this = tmp_path / "this.sql"
    with contextlib.closing(sqlite3.connect(data / "controld.db")) as database:
        this.write_text("\n".join(database.iterdump()), encoding="utf-8")
    for dump in [this, *sorted(DUMPS.glob("*.sql"))]:
        path = data / "controld.db"
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.executescript(dump.read_text(encoding="utf-8"))
        await migrate(SqliteFile(path))
        await migrate(SqliteFile(path))  # and again changes nothing
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == [], dump
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        engine.dispose()
        verified = await asyncio.to_thread(
            run, "audit", "verify", "--config", data / "controld.toml"
        )
        assert verified == 0, dump
        with contextlib.closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.Error):
            database.execute("DELETE FROM audit")  # the triggers came along
    shutil.rmtree(data)
