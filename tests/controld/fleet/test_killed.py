"""An instance dies without a word: what it has acknowledged stays, and its gateways move over."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from controld import cli
from controld.initialise import CONFIG_NAME
from rclib.wire.access import AccessMode
from rclib.wire.control import (
    GatewayState,
    LeaseRenewal,
    SessionGrant,
    SessionOffer,
    SessionProgress,
)
from rclib.wire.link import Ack
from rclib.wire.session import PathKind
from tests.controld.callers import Api
from tests.controld.fleet.conftest import seen
from tests.controld.world import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from controld.store_url import PostgresServer
    from tests.controld.world import World


@asynccontextmanager
async def process(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """controld as it is shipped, and where it serves."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controld", "--config", str(data / CONFIG_NAME),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert running.stderr is not None
    try:
        said = b""
        async with asyncio.timeout(60):
            while not (found := re.search(rb"serving on 127\.0\.0\.1:(\d+)", said)):
                line = await running.stderr.readline()
                assert line, said.decode()
                said += line
        yield running, f"https://127.0.0.1:{int(found[1])}"
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()


@pytest.mark.slow
async def test_a_killed_instance_loses_nothing_and_sessions_go_on(
    data: Path,
    database: PostgresServer,
    open_world: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_world() as b, process(data) as (a, address):
        there = Api(b.admin.http, address, b.admin.token)
        rig = await linked_there(b, there)
        await rig.client.put_body(rig.redeem(await rig.ticket()))
        offer = await rig.gateway.message()  # and it says nothing yet
        writing = asyncio.create_task(write_until_it_dies(there))
        while len(await names(b)) < 5:
            pass
        a.send_signal(signal.SIGKILL)
        acknowledged = await writing

        rig.gateway.heard.clear()
        rig.gateway.api = b.anyone
        await rig.gateway.link()
        again = await rig.gateway.message()
        assert (again.id, again.body) == (offer.id, offer.body)
        assert isinstance(again.body, SessionOffer)
        await rig.gateway.put(Ack(again.id))
        await rig.gateway.say(GatewayState(AccessMode.ON))
        await rig.gateway.say(rig.answer(again.body))
        assert (await rig.client.expect(SessionGrant)).session == rig.session
        await rig.client.say(SessionProgress(rig.session, PathKind.RELAY))

        b.clock.advance(b.server.services.config.times.lease_s * 2 / 3)
        await b.server.sweeper.sweep()
        for end in (rig.gateway, rig.client):
            assert (await end.expect(LeaseRenewal)).session == rig.session
        assert (await b.state(rig.session))["state"] == "active"

        assert acknowledged <= await names(b)
        arguments = ["audit", "verify", "--config", str(data / CONFIG_NAME)]
        assert await asyncio.to_thread(cli.main, arguments) == 0, capsys.readouterr()
        await rig.gateway.hang_up()
        await rig.client.hang_up()


async def linked_there(b: World, there: Api) -> Rig:
    """A gateway linked at the instance that will die; everybody else is here."""
    gateway = await b.gateway()
    user, technician = await b.admin.new_user("tina", "rc_user")
    client = await b.client(technician)
    session = await b.session(gateway, user)
    gateway.api = there
    await b.online(gateway)
    await client.link()
    await seen(b, gateway, online=True)
    return Rig(b, gateway, client, technician, session)


async def write_until_it_dies(there: Api) -> set[str]:
    """What was acknowledged of what was asked for."""
    acknowledged: set[str] = set()
    with suppress(aiohttp.ClientError):
        while True:
            name = f"press {len(acknowledged) + 2}"
            await there.ok("POST", "/gateways", {"name": name})
            acknowledged.add(name)
    return acknowledged


async def names(world: World) -> set[str]:
    return {each["name"] for each in (await world.admin.ok("GET", "/gateways"))["gateways"]}
