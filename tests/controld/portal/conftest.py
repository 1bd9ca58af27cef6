"""A browser without scripts, for the portal's pages."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.provider import add_provider, running_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.controld.provider import Provider
    from tests.controld.world import World


@dataclass
class Visitor:
    """A browser: cookies are kept, redirects followed, forms carry their hidden field."""

    http: aiohttp.ClientSession
    url: str
    csrf: str = ""
    status: int = 0
    at: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> str:
        async with self.http.get(
            self.url + path, headers={"Accept-Language": "en", **headers}
        ) as r:
            return await self._keep(r)

    async def post(
        self, path: str, fields: list[tuple[str, str]] | None = None, origin: str | None = None
    ) -> str:
        headers = {"Origin": self.url if origin is None else origin, "Accept-Language": "en"}
        data = [("csrf", self.csrf), *(fields or [])]
        async with self.http.post(self.url + path, data=data, headers=headers) as response:
            return await self._keep(response)

    async def follow(self, address: str) -> str:
        """Go to an address, on another site too, as a link or a redirect leads there."""
        async with self.http.get(address, headers={"Accept-Language": "en"}) as response:
            return await self._keep(response)

    async def way_out(self, path: str) -> str:
        """Where a page sends the browser, without going there."""
        async with self.http.get(self.url + path, allow_redirects=False) as response:
            return response.headers["Location"]

    async def way_back(self, address: str) -> str:
        """Where another site sends the browser, without going there."""
        async with self.http.get(address, allow_redirects=False) as response:
            return response.headers["Location"]

    async def peek(self, address: str) -> str:
        """Go to an address and say where it leads; for several at once."""
        async with self.http.get(address, allow_redirects=False) as response:
            return response.headers.get("Location", "")

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Visitor]:
        """Another browser, of somebody else."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(
            connector=self.http.connector, connector_owner=False, cookie_jar=jar
        ) as http:
            yield Visitor(http, self.url)

    async def login(self, name: str, password: str) -> str:
        return await self.post("/login", [("name", name), ("password", password)])

    @property
    def cookies(self) -> dict[str, str]:
        kept = self.http.cookie_jar.filter_cookies(URL(self.url))
        return {name: cookie.value for name, cookie in kept.items()}

    @property
    def cookie(self) -> str:
        return self.cookies.get("__Host-portal", "")

    async def _keep(self, response: aiohttp.ClientResponse) -> str:
        text = await response.text()
        self.status, self.at = response.status, response.url.path
        self.headers = dict(response.headers)
        found = re.search(r'name="csrf" value="([^"]+)"', text)
        if found is not None:
            self.csrf = found[1]
        return text


@asynccontextmanager
async def visiting(world: World) -> AsyncIterator[Visitor]:
    jar = aiohttp.CookieJar(unsafe=True)
    connector = world.anyone.http.connector
    async with aiohttp.ClientSession(
        connector=connector, connector_owner=False, cookie_jar=jar
    ) as http:
        yield Visitor(http, world.anyone.base.replace("127.0.0.1", "localhost"))


@pytest.fixture
async def visitor(world: World) -> AsyncIterator[Visitor]:
    async with visiting(world) as opened:
        yield opened


@pytest.fixture
def visitor_of() -> Callable[[World], AbstractAsyncContextManager[Visitor]]:
    return visiting


@pytest.fixture
async def provider(data: Path) -> AsyncIterator[Provider]:
    """For `usefixtures`, so that it is there before the world is."""
    async with running_provider() as running:
        add_provider(data, "Corp", running.issuer)
        yield running


@pytest.fixture
async def admin(visitor: Visitor) -> Visitor:
    await visitor.login("admin", ADMIN_PASSWORD)
    assert visitor.at == "/"
    return visitor
