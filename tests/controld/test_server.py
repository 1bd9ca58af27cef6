"""What a running controld does towards clients it did not bring along."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.logs import get_logger
from rclib.runtime.secret import SecretStr
from rclib.tunnel.control_link import ControlLink, LinkSettings
from rclib.tunnel.enrolment import EnrolmentFailedError, enrol, load_or_make_identity
from rclib.tunnel.uplink import Uplink, open_uplink
from rclib.wire.access import AccessMode
from rclib.wire.control import GatewayState
from rclib.wire.link import LinkRefusal
from tests.connect_proxy import LOGIN, connect_proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from rclib.wire.control import Body
    from rclib.wire.link import LinkWelcome
    from tests.controld.world import World


HALF_A_POST = (
    b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 50\r\nContent-Type: application/json\r\n\r\n"
)


class Handler:
    """Notes that the link is up and its first message acknowledged."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.acked = asyncio.Event()

    def link_up(self, welcome: LinkWelcome) -> None:
        self.up.set()

    def link_down(self, detail: str) -> None:
        self.up.clear()

    def link_body(self, body: Body, sent_ms: int) -> None: ...

    def link_acked(self, body: Body) -> None:
        self.acked.set()


async def test_the_suites_own_end_enrols_and_links(world: World, tmp_path: Path) -> None:
    server = f"https://localhost:{world.server.endpoint.port}"
    trust = ssl.create_default_context(cafile=world.directory / "tls/ca.pem")
    identity = load_or_make_identity(tmp_path / "gateway")
    created = await world.admin.ok("POST", "/gateways", {"name": "press 1"})
    code = created["enrolment_code"]
    record = await enrol(tmp_path / "gateway", identity, server, code, Uplink(trust))
    assert (record.name, record.organisation) == ("press 1", "Plant One")
    with pytest.raises(EnrolmentFailedError, match="ask for a new one"):
        await enrol(tmp_path / "gateway", identity, server, code, Uplink(trust))
    handler = Handler()
    link = ControlLink(LinkSettings(record, identity, Uplink(trust)), handler, get_logger("test"))
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(10):
        await handler.up.wait()
        link.send(GatewayState(AccessMode.ON))
        await handler.acked.wait()
    (shown,) = (await world.admin.ok("GET", "/gateways"))["gateways"]
    assert (shown["online"], shown["access"]) == (True, "on")
    running.cancel()
    await asyncio.wait([running])


async def test_enrolment_and_link_go_through_a_proxy_that_wants_a_login(
    world: World, tmp_path: Path
) -> None:
    server = f"https://localhost:{world.server.endpoint.port}"
    identity = load_or_make_identity(tmp_path / "gateway")
    created = await world.admin.ok("POST", "/gateways", {"name": "press 1"})
    code = created["enrolment_code"]
    ca = str(world.directory / "tls/ca.pem")
    async with connect_proxy() as proxy:
        refused = open_uplink(ca, proxy.url)
        with pytest.raises(EnrolmentFailedError, match="407"):
            await enrol(tmp_path / "gateway", identity, server, code, refused)
        uplink = open_uplink(ca, proxy.url, SecretStr(LOGIN))
        record = await enrol(tmp_path / "gateway", identity, server, code, uplink)
        handler = Handler()
        settings = LinkSettings(record, identity, uplink)
        running = asyncio.create_task(ControlLink(settings, handler, get_logger("test")).run())
        async with asyncio.timeout(10):
            await handler.up.wait()
        assert proxy.tunnels == [f"localhost:{world.server.endpoint.port}"] * 2
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"X-Slow: yes\r\n"),
        (
            HALF_A_POST,
            b"{",
        ),
    ],
    ids=["silence", "headers", "body"],
)
async def test_a_client_that_never_finishes_its_request_is_dropped(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, start: bytes, drip: bytes
) -> None:
    monkeypatch.setattr("controld.api_server.REQUEST_S", 0.5)
    monkeypatch.setattr("controld.server.REQUEST_S", 0.5)
    async with open_world(signed_in=False) as world:
        port = world.server.endpoint.port
        trust = ssl.create_default_context(cafile=world.directory / "tls/ca.pem")
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
        writer.write(start)

        async def keep_dripping() -> None:
            while drip:
                writer.write(drip)
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(keep_dripping())
        async with asyncio.timeout(5):
            answer = await reader.read()
        dripping.cancel()
        await asyncio.wait([dripping])
        writer.close()
        assert answer == b"" or b"408 Request Timeout" in answer


async def test_links_are_told_that_controld_goes(open_world: Callable[..., Any]) -> None:
    async with open_world() as world:
        gateway = await world.gateway()
        await gateway.link()
        told = asyncio.create_task(gateway.refused())
    assert (await told).reason is LinkRefusal.SHUTTING_DOWN
    assert world.server.services.store.is_idle
