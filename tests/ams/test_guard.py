"""Foreign sites, foreign names, slow and oversized requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from rclib.pages import guard
from rclib.wire.local import SetAccess

if TYPE_CHECKING:
    from tests.ams.conftest import StandInRcd, Visitor


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_t24_a_form_from_elsewhere_is_refused(
    running_rcd: StandInRcd, visitor: Visitor, origin: str
) -> None:
    await visitor.enter()
    await visitor.post("/access", {"Origin": origin}, mode="on", hours="1")
    assert visitor.status == 403
    assert running_rcd.of(SetAccess) == []


async def test_t24_a_form_without_its_token_is_refused(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    await visitor.enter()
    visitor.csrf = "guessed"
    await visitor.post("/access", mode="on", hours="1")
    assert visitor.status == 403
    assert running_rcd.of(SetAccess) == []


async def test_t24_a_foreign_host_name_is_refused(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    text = await visitor.get("/?lang=en", Host="evil.example")
    assert visitor.status == 403
    assert "not known as “evil.example”" in text


async def test_a_large_body_is_refused(running_rcd: StandInRcd, visitor: Visitor) -> None:
    await visitor.enter()
    await visitor.post("/access", mode="on", hours="1", pad="x" * 20_000)
    assert visitor.status == 413


async def test_a_body_that_never_ends_is_not_waited_for(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    at = urlsplit(visitor.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        f"POST /login HTTP/1.1\r\nHost: {at.netloc}\r\nOrigin: {visitor.url}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
        "pass".encode()
    )
    async with asyncio.timeout(20):
        assert (await reader.readline()).split()[1] == b"408"
    writer.close()
    await writer.wait_closed()


async def test_a_page_that_is_not_there_says_so_in_words(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    assert "There is no such page" in await visitor.get("/nothing?lang=en")
    assert visitor.status == 404


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/static/base.css"])
async def test_every_answer_carries_the_headers(
    running_rcd: StandInRcd, visitor: Visitor, path: str
) -> None:
    async with visitor.http.get(visitor.url + path) as response:
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if not path.startswith("/static"):
            assert response.headers["Cache-Control"] == "no-store"
