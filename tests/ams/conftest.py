"""The real page on port 0, in front of a stand-in for rcd that speaks the real local protocol."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from aiohttp import web

from ams.config import AmsConfig
from ams.web import Page
from rclib.runtime.local import Connection, serve_local
from rclib.runtime.logs import get_logger
from rclib.wire.access import AccessMode
from rclib.wire.local import (
    EndSession,
    Failed,
    GateState,
    LinkState,
    Request,
    RequestError,
    SetAccess,
    Status,
    decode_request,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PASSWORD = "vier zufällige wörter"


@dataclass
class StandInRcd:
    """Answers like rcd and remembers what it was asked; it switches nothing."""

    path: Path
    status: Status = field(
        default_factory=lambda: Status(
            access=AccessMode.OFF,
            is_on=False,
            remaining_s=None,
            changed_by="",
            changed_ms=0,
            link=LinkState.OFF,
            gate=GateState.READY,
            fingerprint="ABCD EFGH",
        )
    )
    asked: list[Request] = field(default_factory=list)
    fault: str = ""

    async def serve(self, connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            request = decode_request(line)
            self.asked.append(request)
            await connection.send(encode(self._answer(request)))

    def _answer(self, request: Request) -> Status | Failed:
        if self.fault and isinstance(request, SetAccess | EndSession):
            return Failed(RequestError.STORAGE, self.fault)
        if isinstance(request, SetAccess):
            is_on = request.mode is not AccessMode.OFF
            self.status = msgspec.structs.replace(self.status, access=request.mode, is_on=is_on)
        return self.status

    def of(self, kind: type) -> list[Request]:
        return [each for each in self.asked if isinstance(each, kind)]


@pytest.fixture
def rcd(tmp_path: Path) -> StandInRcd:
    return StandInRcd(tmp_path / "rcd.sock")


@pytest.fixture
async def running_rcd(rcd: StandInRcd) -> AsyncIterator[StandInRcd]:
    stopping, listening = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        serve_local(rcd.path, rcd.serve, allowed_uids=None, stopping=stopping, listening=listening)
    )
    await listening.wait()
    yield rcd
    stopping.set()
    await task


@dataclass
class Visitor:
    """A browser: cookies are kept, redirects followed, forms carry their hidden field."""

    http: aiohttp.ClientSession
    url: str
    csrf: str = ""

    async def get(self, path: str = "/", **headers: str) -> tuple[int, str]:
        async with self.http.get(self.url + path, headers=headers) as response:
            text = await response.text()
        if 'name="csrf" value="' in text:
            self.csrf = text.split('name="csrf" value="')[1].split('"')[0]
        return response.status, text

    async def post(
        self, path: str, headers: dict[str, str] | None = None, **fields: str
    ) -> tuple[int, str]:
        given = {"Origin": self.url, **(headers or {})}
        data = {"csrf": self.csrf, **fields}
        async with self.http.post(self.url + path, data=data, headers=given) as response:
            return response.status, await response.text()

    async def enter(self) -> None:
        """First visit: set the password, which also logs in."""
        await self.post("/password", password=PASSWORD, repeat=PASSWORD)
        await self.get("/?lang=en")


@asynccontextmanager
async def served(config: AmsConfig) -> AsyncIterator[str]:
    runner = web.AppRunner(Page(config, get_logger("ams")).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def config(tmp_path: Path, rcd: StandInRcd) -> AmsConfig:
    return AmsConfig(state_dir=str(tmp_path / "ams"), rcd_socket=str(rcd.path))


@pytest.fixture
async def visitor(config: AmsConfig) -> AsyncIterator[Visitor]:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address instead of a name
    async with served(config) as url, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Visitor(http, url)
