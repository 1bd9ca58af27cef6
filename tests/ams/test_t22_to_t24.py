"""T22 to T24 for the plant's page: guesses by the thousand, borrowed visits, other sites' hands.

The routes are the running page's own, so that a new one is asked, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from ams.guard import LIVE_PATH
from ams.limits import PER_HOUR
from ams.metrics import Metrics
from ams.server import application
from ams.website import LOGIN_PATH, Website
from rclib.runtime.logs import get_logger
from rclib.wire.access import AccessMode
from rclib.wire.local import GetStatus, LoginOutcome, RecordLogin
from tests.ams.conftest import PASSWORD, served

if TYPE_CHECKING:
    from ams.config import AmsConfig
    from tests.ams.conftest import StandInRcd, Visitor

STRANGERS: Final = 200
GUESSES_EACH: Final = 5
OPEN_TO_ALL: Final = {LOGIN_PATH, "/password", "/strength"}
"""The door itself: without a password that is set, or for showing it."""
FORGED: Final = "A" * 43


def routes(config: AmsConfig) -> list[tuple[str, str]]:
    """Method and address of everything the page answers."""
    metrics = Metrics(CollectorRegistry())
    site = Website(config, get_logger("ams"), metrics, page_fingerprint=None)
    app = application(site, asyncio.Event())
    found = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    session = "ses_" + "a" * 16
    return sorted((method, path.replace("{session}", session)) for method, path in found)


def failures(rcd: StandInRcd) -> int:
    """How many guesses were compared with the password."""
    told = [each for each in rcd.of(RecordLogin) if isinstance(each, RecordLogin)]
    return sum(each.outcome is LoginOutcome.FAILED for each in told)


@pytest.mark.timeout(180)
async def test_t22_a_thousand_guesses_from_two_hundred_addresses_are_twenty(
    running_rcd: StandInRcd, config: AmsConfig, visitor: Visitor
) -> None:
    """Right guesses are among those that nobody looks at, and a restart gives no new ones."""
    await visitor.enter()
    await visitor.post("/logout")
    await visitor.post("/login", password=PASSWORD)
    await visitor.post("/logout")

    async def guess(url: str, number: int) -> None:
        mine = aiohttp.TCPConnector(local_addr=(f"127.0.1.{number + 1}", 0), force_close=True)
        async with aiohttp.ClientSession(connector=mine) as http:
            for turn in range(GUESSES_EACH):
                password = PASSWORD if turn == GUESSES_EACH - 1 else f"guess {number} {turn}"
                data, origin = {"password": password}, {"Origin": url}
                async with http.post(
                    f"{url}/login", data=data, headers=origin, allow_redirects=False
                ) as response:
                    assert response.status == 403

    await asyncio.gather(*(guess(visitor.url, number) for number in range(STRANGERS)))
    looked_at = failures(running_rcd)
    assert 0 < looked_at <= PER_HOUR, "and each of them is in the gateway's history"
    async with served(config) as again:
        await asyncio.gather(*(guess(again, number) for number in range(20)))
    assert failures(running_rcd) == looked_at
    # The owner has logged in from this address before: not kept out.
    await visitor.post("/login", password=PASSWORD)
    assert visitor.visit_id


async def test_t23_without_a_visit_no_route_shows_or_does_anything(
    running_rcd: StandInRcd, config: AmsConfig, visitor: Visitor
) -> None:
    await visitor.enter()
    await visitor.post("/logout")
    running_rcd.asked.clear()
    for cookie in ("", FORGED):
        jar = aiohttp.DummyCookieJar()
        headers = {"Origin": visitor.url, "Cookie": f"ams={cookie}" if cookie else "a=b"}
        async with aiohttp.ClientSession(cookie_jar=jar, headers=headers) as stranger:
            for method, path in routes(config):
                if path in OPEN_TO_ALL or path.startswith("/static/"):
                    continue
                async with stranger.request(
                    method, visitor.url + path, data={"csrf": FORGED}, allow_redirects=False
                ) as response:
                    where = f"{method} {path} {response.status}"
                    assert response.status in {204, 303, 403}, where
                    assert "ABCD EFGH" not in await response.text(), where
    assert running_rcd.asked == []


async def test_t23_a_login_never_takes_over_an_id_the_browser_brought(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    await visitor.enter()
    await visitor.post("/logout")
    headers = {"Origin": visitor.url, "Cookie": f"ams={FORGED}"}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=headers) as http,
        http.post(
            f"{visitor.url}/login", data={"password": PASSWORD}, allow_redirects=False
        ) as response,
    ):
        assert response.status == 303
        assert response.cookies["ams"].value not in {"", FORGED}


@pytest.mark.parametrize("ending", ["logout", "restart"])
async def test_t23_an_old_id_is_dead(
    running_rcd: StandInRcd, config: AmsConfig, visitor: Visitor, ending: str
) -> None:
    await visitor.enter()
    old, url = visitor.visit_id, visitor.url
    jar, headers = aiohttp.DummyCookieJar(), {"Cookie": f"ams={old}"}

    async def overview(base: str) -> int:
        async with (
            aiohttp.ClientSession(cookie_jar=jar, headers=headers) as http,
            http.get(f"{base}/", allow_redirects=False) as response,
        ):
            return response.status

    assert await overview(url) == 200
    if ending == "logout":
        await visitor.post("/logout")
        assert await overview(url) == 303
    else:
        async with served(config) as again:
            assert await overview(again) == 303


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
async def test_t24_no_form_of_another_site_does_anything(
    running_rcd: StandInRcd, config: AmsConfig, visitor: Visitor, origin: str | None
) -> None:
    """Not even with the visitor's cookie and the page's own token."""
    await visitor.enter()
    before = [each for each in running_rcd.asked if not isinstance(each, GetStatus)]
    headers = {} if origin is None else {"Origin": origin}
    data = {"csrf": visitor.csrf, "mode": AccessMode.ON.value, "hours": "0"}
    for method, path in routes(config):
        if method == "POST":
            async with visitor.http.post(
                visitor.url + path, data=data, headers=headers, allow_redirects=False
            ) as response:
                assert response.status == 403, path
    assert [each for each in running_rcd.asked if not isinstance(each, GetStatus)] == before
    assert await visitor.get("/"), "and the visit goes on"


async def test_t24_no_route_answers_to_another_name_or_lets_another_site_read(
    running_rcd: StandInRcd, config: AmsConfig, visitor: Visitor
) -> None:
    """DNS rebinding; and cross-origin readers, to whom a browser shows what CORS headers allow."""
    await visitor.enter()
    running_rcd.asked.clear()
    for method, path in routes(config):
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        async with visitor.http.request(
            method, visitor.url + path, headers=headers, allow_redirects=False
        ) as response:
            assert response.status == 403, path
    assert running_rcd.asked == []
    for method, path in routes(config):
        if method == "GET" and path != LIVE_PATH:
            headers = {"Origin": "http://evil.example"}
            async with visitor.http.get(visitor.url + path, headers=headers) as response:
                assert not [name for name in response.headers if "access-control" in name.lower()]
