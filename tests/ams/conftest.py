"""The real page on port 0, in front of a stand-in for rcd that speaks the real local protocol."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from argon2 import Parameters, Type
from yarl import URL

from ams.config import AmsConfig
from ams.door import Door, password_path
from ams.passwords import PasswordFile
from ams.server import open_page
from rclib.runtime.context import open_context
from rclib.runtime.local import Connection, serve_local
from rclib.runtime.logs import get_logger
from rclib.wire.access import AccessMode
from rclib.wire.gate import DeviceFlow
from rclib.wire.ids import DeviceId, SessionId
from rclib.wire.local import (
    CheckConnection,
    CheckReport,
    EndSession,
    Failed,
    GateState,
    JournalPage,
    LinkState,
    ReadJournal,
    Refuse,
    Release,
    Request,
    RequestError,
    Response,
    SessionStatus,
    SetAccess,
    Status,
    decode_request,
    encode,
)
from rclib.wire.session import PathKind, PathStatus, Protocol, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PASSWORD = "vier zufällige wörter"
CHEAP = Parameters(Type.ID, 19, 16, 32, 1, 8, 1)
"""Hashing that takes no time: what it costs is the library's matter."""
SESSION = SessionId("ses_" + "a" * 16)


def off(**changes: object) -> Status:
    """As delivered."""
    status = Status(
        access=AccessMode.OFF,
        is_on=False,
        remaining_s=None,
        changed_by="",
        changed_ms=0,
        link=LinkState.OFF,
        gate=GateState.READY,
        fingerprint="ABCD EFGH",
    )
    return msgspec.structs.replace(status, **changes)


def on(**changes: object) -> Status:
    return off(**{"access": AccessMode.ON, "is_on": True, **changes})


def a_session(user: str = "tina") -> SessionStatus:
    target = Target(DeviceId("dev_" + "a" * 16), "PLC", "192.168.1.10", Protocol.TCP, 502)
    return SessionStatus(
        session=SESSION,
        name="Line 3",
        user=user,
        organisation="Builder",
        reason="fault 17",
        targets=(target,),
        path=PathKind.RELAY,
        path_details=PathStatus(
            PathKind.RELAY,
            1_700_000_000_000,
            relay="eu1",
            region="eu-west",
            rtt_ms=14.2,
            mtu=1280,
        ),
        since_ms=1_700_000_000_000,
        lease_remaining_s=500,
        remaining_s=7000,
        received_bytes=12_000,
        sent_bytes=900,
        flows=(DeviceFlow("192.168.1.10", 9, 14_000, 9, 610, 60.0, 1.0),),
        refused_packets=3,
    )


@dataclass
class StandInRcd:
    """Answers like rcd and remembers what it was asked; it switches nothing."""

    path: Path
    status: Status = field(default_factory=off)
    asked: list[Request] = field(default_factory=list)
    fault: str = ""
    journal: list[str] = field(default_factory=list)
    report: CheckReport | Failed | None = None
    is_deaf: bool = False
    """Confirms everything and does nothing."""

    async def serve(self, connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            request = decode_request(line)
            self.asked.append(request)
            await connection.send(encode(self._answer(request)))

    def _answer(self, request: Request) -> Response:
        if isinstance(request, CheckConnection) and self.report is not None:
            return self.report
        if isinstance(request, ReadJournal):
            return JournalPage(tuple(self.journal[request.after : request.after + 2]))
        if self.fault and isinstance(request, SetAccess | EndSession):
            return Failed(RequestError.STORAGE, self.fault)
        if self.is_deaf:
            return self.status
        if isinstance(request, SetAccess):
            is_on = request.mode is not AccessMode.OFF
            self.status = msgspec.structs.replace(
                self.status,
                access=request.mode,
                is_on=is_on,
                remaining_s=request.duration_s,
                sessions=self.status.sessions if is_on else (),
            )
        if isinstance(request, Release | Refuse):
            left = tuple(each for each in self.status.waiting if each.session != request.session)
            self.status = msgspec.structs.replace(self.status, waiting=left)
        if isinstance(request, EndSession):
            left = tuple(each for each in self.status.sessions if each.session != request.session)
            self.status = msgspec.structs.replace(self.status, sessions=left)
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
    status: int = 0

    async def get(self, path: str = "/", **headers: str) -> str:
        async with self.http.get(self.url + path, headers=headers) as response:
            return await self._keep(response)

    async def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> str:
        given = {"Origin": self.url, **(headers or {})}
        data = {"csrf": self.csrf, **fields}
        async with self.http.post(self.url + path, data=data, headers=given) as response:
            return await self._keep(response)

    @property
    def visit_id(self) -> str:
        cookie = self.http.cookie_jar.filter_cookies(URL(self.url)).get("ams")
        return cookie.value if cookie is not None else ""

    async def enter(self) -> None:
        """First visit: set the password, which also logs in."""
        await self.get("/?lang=en")
        await self.post("/password", password=PASSWORD, repeat=PASSWORD)

    async def _keep(self, response: aiohttp.ClientResponse) -> str:
        text = await response.text()
        self.status = response.status
        if 'name="csrf" value="' in text:
            self.csrf = text.split('name="csrf" value="')[1].split('"')[0]
        return text


@asynccontextmanager
async def served(config: AmsConfig) -> AsyncIterator[str]:
    """The page as a process would run it, with a password that costs nothing to hash."""
    directory = Path(config.state_dir)
    log = get_logger("ams")
    door = Door(directory, log, PasswordFile(password_path(directory), CHEAP))
    async with open_context("ams") as ctx, open_page(config, ctx, door=door) as endpoint:
        yield f"{'http' if config.plain_http else 'https'}://{endpoint}"
        ctx.stopping.set()


@pytest.fixture
def config(tmp_path: Path, rcd: StandInRcd) -> AmsConfig:
    return AmsConfig(
        listen="127.0.0.1:0",
        plain_http=True,
        state_dir=str(tmp_path / "ams"),
        rcd_socket=str(rcd.path),
    )


@pytest.fixture
async def visitor(config: AmsConfig) -> AsyncIterator[Visitor]:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address instead of a name
    async with served(config) as url, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Visitor(http, url)
