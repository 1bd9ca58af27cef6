"""Templates, and the static files of a package beside the shared ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import jinja2
import pytest
from aiohttp import web

from rclib.pages.templates import SHARED_STATIC, Templates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for directory in ("templates", "static"):
        (tmp_path / directory).mkdir()
    (tmp_path / "static" / "own.js").write_text("1")
    (tmp_path / "templates" / "page.html").write_text("{{ who }} {{ asset('own.js') }}")
    (tmp_path / "secret").write_text("secret")
    return tmp_path


@pytest.fixture
async def served(package: Path) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(Templates(package).routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def test_what_is_shown_is_escaped_and_what_is_missing_is_an_error(package: Path) -> None:
    templates = Templates(package)
    assert templates.render("page.html", {"who": "<b>"}).startswith("&lt;b&gt; /static/own.js?")
    with pytest.raises(jinja2.UndefinedError):
        templates.render("page.html", {})


def test_a_changed_file_has_another_address(package: Path) -> None:
    before = Templates(package).render("page.html", {"who": ""})
    (package / "static" / "own.js").write_text("2")
    assert Templates(package).render("page.html", {"who": ""}) != before


async def test_own_and_shared_files_are_served_and_kept_by_the_browser(served: str) -> None:
    shared = next(SHARED_STATIC.glob("*.css")).name
    async with aiohttp.ClientSession() as http:
        for name in ("own.js", shared):
            async with http.get(f"{served}/static/{name}") as response:
                assert response.status == 200
                assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["..%2Fsecret", "%2e%2e/secret", "nothing.js", "..%2f..%2fsecret"])
async def test_nothing_else_is_served(served: str, name: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{served}/static/{name}") as response:
        assert response.status == 404
