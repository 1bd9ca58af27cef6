"""HTTPS with the page's own key, and the way there from plain HTTP."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from ams import own_certificate
from ams.config import AmsConfig
from ams.server import open_page
from rclib.runtime.context import open_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ams.conftest import StandInRcd


async def test_the_page_speaks_https_with_a_key_of_its_own(
    running_rcd: StandInRcd, config: AmsConfig, tmp_path: Path
) -> None:
    secure = msgspec.structs.replace(config, plain_http=False)
    async with open_context("ams") as ctx, open_page(secure, ctx) as endpoint:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ams" / "tls.pem"))
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"https://{endpoint}/login?lang=en", ssl=trusted) as response,
        ):
            assert "there is no preset password" in await response.text()
            (cookie,) = response.cookies.values()
            assert cookie["secure"]
            assert cookie["httponly"]
        ctx.stopping.set()
    assert own_certificate.fingerprint(tmp_path / "ams" / "tls.pem").count(":") == 31


async def test_plain_http_leads_to_the_page_and_to_nowhere_else(
    running_rcd: StandInRcd, config: AmsConfig
) -> None:
    # Port 0 cannot be asked for twice by name; the redirect gets one the kernel just gave away.
    port = _free_port()
    both = msgspec.structs.replace(config, plain_http=False, redirect_listen=f"127.0.0.1:{port}")
    async with open_context("ams") as ctx, open_page(both, ctx) as endpoint:
        url = f"http://127.0.0.1:{port}/access?mode=on"
        async with aiohttp.ClientSession() as http:
            async with http.get(url, allow_redirects=False) as response:
                assert response.status == 308
                assert response.headers["Location"] == f"https://{endpoint}/"
            evil = {"Host": "evil.example"}
            async with http.get(url, headers=evil, allow_redirects=False) as response:
                assert response.status == 403
        ctx.stopping.set()


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"certificate": "a.pem"}, "belong together"),
        ({"plain_http": True, "redirect_listen": "127.0.0.1:80"}, "excludes"),
        ({"listen": "nonsense"}, "nonsense"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    keys: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        AmsConfig(**keys)  # type: ignore[arg-type]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
