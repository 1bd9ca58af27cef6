"""The link follows the switch, however quickly it is turned."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rcd.plant_link import PlantLink
from rclib.runtime.context import Context
from rclib.runtime.logs import get_logger
from rclib.tunnel.enrolment import Enrolment, load_or_make_identity
from rclib.tunnel.uplink import open_uplink
from rclib.wire.ids import EndpointId
from rclib.wire.local import LinkState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from rclib.wire.control import Body
    from rclib.wire.link import LinkWelcome

LIMIT_S = 10


class Plant:
    """Hears nothing: the control plane of these tests only counts who comes."""

    def link_up(self, welcome: LinkWelcome) -> None: ...
    def link_down(self, detail: str) -> None: ...
    def link_body(self, body: Body, sent_ms: int) -> None: ...
    def link_acked(self, body: Body) -> None: ...


@asynccontextmanager
async def plant_link(directory: Path) -> AsyncIterator[tuple[PlantLink, asyncio.Queue[None]]]:
    """A link, and an item for each connection that it makes."""
    came: asyncio.Queue[None] = asyncio.Queue()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(None)
        await reader.read(-1)
        writer.close()

    async with (
        asyncio.timeout(LIMIT_S),
        await asyncio.start_server(silent, "127.0.0.1", 0) as server,
        asyncio.TaskGroup() as tasks,
    ):
        context = Context(get_logger("test"), CollectorRegistry(), tasks)
        identity = load_or_make_identity(directory)
        link = PlantLink(context, Plant(), identity=identity, uplink=open_uplink(None))
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        endpoint = EndpointId("gw_" + "0" * 26)
        link.enrolment = Enrolment(url, endpoint, "press 1", "Plant One", "127.0.0.1")
        yield link, came
        await link.stop()


async def test_off_means_that_nobody_is_connected_to(tmp_path: Path) -> None:
    async with plant_link(tmp_path) as (link, came):
        link.start()
        await came.get()
        await link.stop()
        assert (link.state, came.qsize()) == (LinkState.OFF, 0)


async def test_a_start_while_goodbye_is_said_is_obeyed(tmp_path: Path) -> None:
    async with plant_link(tmp_path) as (link, came):
        link.start()
        await came.get()
        goodbye = asyncio.create_task(link.stop())
        await asyncio.sleep(0)
        link.start()
        await goodbye
        await came.get()
        assert link.state is LinkState.CONNECTING


async def test_the_slower_of_two_stops_leaves_the_next_link_alone(tmp_path: Path) -> None:
    async with plant_link(tmp_path) as (link, came):
        link.start()
        await came.get()
        stops = [asyncio.create_task(link.stop()), asyncio.create_task(link.stop())]
        await asyncio.sleep(0)
        link.start()
        await asyncio.gather(*stops)
        await came.get()
        assert link.state is LinkState.CONNECTING
        await link.stop()
        assert link.state is LinkState.OFF
