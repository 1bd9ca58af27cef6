"""A controld for each test, on a copy of one data directory."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from controld.initialise import Wanted, initialise
from controld.store_offline import write_offline
from controld.store_url import SqliteFile
from rclib.runtime.clock import wall_ms
from rclib.runtime.net import parse_endpoint
from testbed.postgres import find_postgres, running_postgres
from tests.controld.world import RELAY, Clock, Rig, World, give_password, prepare_rig, running_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from testbed.postgres import Postgres


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `controld init` makes it, with a password of the administrator's own."""
    directory = tmp_path_factory.mktemp("controld") / "data"
    wanted = Wanted(
        directory=directory,
        host="localhost",
        listen=parse_endpoint("127.0.0.1:0"),
        also=["127.0.0.1"],
        relays=[RELAY],
        stun=["127.0.0.1:3478"],
        organisation="Plant One",
        admin="admin",
    )
    initialise(wanted, wall_ms())
    write_offline(SqliteFile(directory / "controld.db"), give_password)
    return directory


@pytest.fixture(scope="session")
def prepared(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A rig on a data directory of its own, where nobody is online; a test takes a copy."""
    data = shutil.copytree(template, tmp_path_factory.mktemp("rig") / "data")

    async def prepare() -> Rig:
        async with running_world(data, Clock()) as world:
            return await prepare_rig(world)

    return asyncio.run(prepare())


@pytest.fixture
def data(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Path:
    """Knows what a rig is made of already, where the test has one."""
    if "rig" in request.fixturenames:
        template = request.getfixturevalue("prepared").world.directory
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server, one for all tests; each takes a database of its own."""
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgres() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_world(data: Path, clock: Clock) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Start a controld on the test's data directory; again after a stop, if wanted."""
    return partial(running_world, data, clock)


@pytest.fixture
async def world(open_world: Callable[..., Any]) -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def rig(world: World, prepared: Rig) -> AsyncIterator[Rig]:
    moved = await prepared.moved_to(world)
    yield await moved.go_online()
    await moved.hang_up()
