"""A controld for each test, on a copy of one data directory."""

from __future__ import annotations

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
from tests.controld.world import RELAY, Clock, Rig, World, give_password, running_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
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
def make_rig() -> Callable[[World], Awaitable[Rig]]:
    async def make(world: World) -> Rig:
        gateway = await world.gateway()
        user, technician = await world.admin.new_user("tina", "rc_user")
        client = await world.client(technician)
        session = await world.session(gateway, user)
        await world.online(gateway)
        await client.link()
        return Rig(world, gateway, client, technician, session)

    return make


@pytest.fixture
async def rig(world: World, make_rig: Callable[[World], Awaitable[Rig]]) -> AsyncIterator[Rig]:
    made = await make_rig(world)
    yield made
    await made.gateway.hang_up()
    await made.client.hang_up()
