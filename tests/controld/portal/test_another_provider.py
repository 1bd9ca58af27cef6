"""The same login with a provider by other hands: oidc-provider-mock, in a process of its own.

Its keys, its discovery document, its client authentication and its tokens are Authlib's.
"""

from __future__ import annotations

import asyncio
import re
import sys
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.provider import add_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import World

SERVE = """
import sys
from oidc_provider_mock import run_server_in_thread
with run_server_in_thread(require_nonce=True) as server:
    print(server.server_port, flush=True)
    sys.stdin.read()
"""


pytestmark = pytest.mark.usefixtures("provider")


@pytest.fixture
async def provider(data: Path) -> AsyncIterator[None]:
    """It ends with its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    async with asyncio.timeout(60):
        port = (await process.stdout.readline()).decode().strip()
    add_provider(data, "Other", f"http://localhost:{port}")
    yield
    process.stdin.close()
    await process.wait()


async def signed_in_there(visitor: Visitor, address: str, subject: str) -> str:
    """Fill the provider's form in, and go where it leads."""
    await visitor.follow(address)
    async with visitor.http.post(address, data={"sub": subject}, allow_redirects=False) as answer:
        back = answer.headers["Location"]
    return await visitor.follow(back)


async def test_linking_and_logging_in_with_another_provider(world: World, admin: Visitor) -> None:
    text = await admin.get("/sign-in")
    text = await admin.post("/sign-in/providers/other", [("password", ADMIN_PASSWORD)])
    found = re.search(r'class="button" href="([^"]+)"', text)
    assert found is not None
    text = await signed_in_there(admin, unescape(found[1]), "ada@plant.example")
    assert "Remove the link with Other" in text
    await admin.post("/logout")
    await signed_in_there(admin, await admin.way_out("/login/with/other"), "ada@plant.example")
    assert (admin.status, admin.at) == (200, "/")
    assert "provider_linked" in await world.actions()
    await admin.post("/logout")
    text = await signed_in_there(admin, await admin.way_out("/login/with/other"), "eve")
    assert "linked with no user" in text
