"""How far the regions are, also where only a proxy leads out."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from rcd.regions import PROBES, RegionWatch
from rclib.runtime.secret import SecretStr
from rclib.tunnel.uplink import open_uplink
from rclib.wire.link import Region
from tests.connect_proxy import LOGIN, connect_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclib.tunnel.uplink import Uplink


@pytest.fixture
def regions() -> Iterator[tuple[Region, ...]]:
    """Two that answer, and one that does not."""
    with ExitStack() as listening:
        servers = [
            listening.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)
        ]
        gone = socket.create_server(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (*servers, gone)]
        gone.close()
        yield tuple(
            Region(name, f"wss://127.0.0.1:{port}/relay")
            for name, port in zip(("near", "far", "gone"), ports, strict=True)
        )


async def measured(uplink: Uplink, regions: tuple[Region, ...]) -> set[str]:
    news = asyncio.Event()
    watch = RegionWatch(uplink, news.set)
    watch.start(regions)
    try:
        async with asyncio.timeout(60):
            await news.wait()
    finally:
        watch.stop()
    return {each.region for each in watch.measured()}


async def test_what_answers_is_measured(regions: tuple[Region, ...]) -> None:
    assert await measured(open_uplink(None), regions) == {"near", "far"}


async def test_behind_a_proxy_the_way_through_it_is_measured(regions: tuple[Region, ...]) -> None:
    async with connect_proxy() as proxy:
        uplink = open_uplink(None, proxy.url, SecretStr(LOGIN))
        assert await measured(uplink, regions) == {"near", "far"}
        assert len(proxy.tunnels) == PROBES * len(regions)


async def test_a_proxy_that_refuses_leaves_nothing_measured(regions: tuple[Region, ...]) -> None:
    async with connect_proxy() as proxy:
        assert await measured(open_uplink(None, proxy.url), regions) == set()
