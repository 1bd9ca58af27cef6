"""Two controlds on one PostgreSQL, in one process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from rclib.wire.control import SessionProgress
from rclib.wire.link import LinkRefusal, LinkRefused
from rclib.wire.session import PathKind
from tests.controld.world import Rig, use_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from controld.store_url import PostgresServer
    from testbed.postgres import Postgres
    from tests.controld.callers import End
    from tests.controld.world import World

    Pair = tuple[World, World]

PROMPT_S = 5
"""What the plant is promised for an end, a disabled user and a lost link (issue 7)."""


@pytest.fixture
async def database(postgres: Postgres, data: Path) -> PostgresServer:
    server = postgres.new_database()
    await use_postgres(server, data)
    return server


@pytest.fixture
async def pair(database: PostgresServer, open_world: Callable[..., Any]) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(open_world())
        b = await stack.enter_async_context(open_world())
        yield a, b


@pytest.fixture
async def rig(pair: Pair) -> AsyncIterator[Rig]:
    """A gateway linked at A, its technician and everybody's requests at B."""
    a, b = pair
    gateway = await a.gateway()
    user, technician = await b.admin.new_user("tina", "rc_user")
    client = await b.client(technician)
    session = await b.session(gateway, user)
    await a.online(gateway)
    await client.link()
    await seen(b, gateway, online=True)
    yield Rig(b, gateway, client, technician, session)
    await gateway.hang_up()
    await client.hang_up()


async def eventually(look: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    """Wait for a condition; each look is a request, so others get their turn."""
    async with asyncio.timeout(within_s):
        while not await look():
            pass


async def seen(world: World, gateway: End, *, online: bool) -> None:
    async def look() -> bool:
        shown = (await world.admin.ok("GET", "/gateways"))["gateways"]
        return any(s["id"] == gateway.endpoint and s["online"] is online for s in shown)

    await eventually(look)


def at(world: World, end: End) -> End:
    """The same end, which from now on dials this instance."""
    end.api = world.anyone
    return end


async def refusal(end: End) -> LinkRefusal:
    """Why a link is closed, whatever else is said on it before."""
    while not isinstance(frame := await end.any_frame(), LinkRefused):
        pass
    return frame.reason


async def active(rig: Rig) -> None:
    await rig.granted()
    await rig.client.say(SessionProgress(rig.session, PathKind.RELAY))
    assert (await rig.world.state(rig.session))["state"] == "active"
