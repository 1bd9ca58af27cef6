from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from rclib.runtime.clock import boottime
from rclib.runtime.errors import StartError
from rclib.runtime.health import Health
from rclib.runtime.http_status import StatusConfig, StatusServer, serve_status
from rclib.runtime.metrics import new_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ON_LOOPBACK = StatusConfig(listen="127.0.0.1:0")


@asynccontextmanager
async def status_pages(health: Health) -> AsyncIterator[str]:
    server = await serve_status(ON_LOOPBACK, new_registry("mini", "1"), health)
    assert isinstance(server, StatusServer)
    try:
        yield f"http://{server.endpoint}"
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("health", "status", "word"),
    [
        (Health(stale_after_s=20), 503, "starting"),
        (Health(stale_after_s=20, ready=True, text="3 sessions"), 200, "ok"),
        (Health(stale_after_s=20, ready=True, reported_at=boottime() - 21), 503, "stale"),
        (Health(stale_after_s=20, ready=True, stopping=True), 503, "stopping"),
    ],
)
async def test_healthz_is_200_only_while_the_work_is_done(
    health: Health, status: int, word: str
) -> None:
    async with status_pages(health) as base, aiohttp.ClientSession() as client:
        response = await client.get(f"{base}/healthz")

        assert response.status == status
        assert await response.json() == {"status": word, "detail": health.text}
        assert response.headers["Cache-Control"] == "no-store"


async def test_metrics_come_in_the_format_prometheus_reads() -> None:
    async with status_pages(Health(stale_after_s=20)) as base, aiohttp.ClientSession() as client:
        response = await client.get(f"{base}/metrics")

        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "remoteconnect_build_info" in await response.text()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/healthz", 405)]
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    async with status_pages(Health(stale_after_s=20)) as base, aiohttp.ClientSession() as client:
        response = await client.request(method, f"{base}{path}")

        assert response.status == status


async def test_garbage_costs_only_its_own_connection() -> None:
    async with status_pages(Health(stale_after_s=20, ready=True)) as base:
        host, port = base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(b"\x16\x03\x01" * 100)
            async with aiohttp.ClientSession() as client:
                assert (await client.get(f"{base}/healthz")).status == 200


async def test_switched_off_nothing_listens() -> None:
    assert await serve_status(StatusConfig(), new_registry("mini", "1"), Health(20)) is None


async def test_a_busy_port_is_a_start_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        config = StatusConfig(listen=f"127.0.0.1:{busy.getsockname()[1]}")
        with pytest.raises(StartError, match="for the status pages: another process"):
            await serve_status(config, new_registry("mini", "1"), Health(20))


async def test_a_closed_server_answers_nobody() -> None:
    async with status_pages(Health(stale_after_s=20)) as base:
        pass
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(f"{base}/healthz")


class TestAddress:
    @pytest.mark.parametrize("listen", ["0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100"])
    def test_an_address_others_reach_has_to_be_allowed_in_so_many_words(self, listen: str) -> None:
        with pytest.raises(ValueError, match="allow_non_loopback = true"):
            StatusConfig(listen=listen)

        assert StatusConfig(listen=listen, allow_non_loopback=True).listen == listen

    @pytest.mark.parametrize("listen", ["127.0.0.1:9100", "127.9.9.9:0", "[::1]:9100"])
    def test_loopback_needs_no_permission(self, listen: str) -> None:
        assert StatusConfig(listen=listen).listen == listen

    def test_a_name_is_no_address(self) -> None:
        with pytest.raises(ValueError, match="not an IP address"):
            StatusConfig(listen="localhost:9100")

    def test_it_is_checked_when_the_configuration_is_read(self) -> None:
        with pytest.raises(msgspec.ValidationError, match="other machines"):
            msgspec.convert({"listen": "0.0.0.0:1"}, StatusConfig)
