"""The page on which people look after how they sign in."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.controld.authenticator import Authenticator
from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import World

SURE = ("password", ADMIN_PASSWORD)


@pytest.fixture
async def page(admin: Visitor) -> Visitor:
    await admin.get("/sign-in")
    return admin


async def set_up_app(world: World, page: Visitor) -> tuple[pyotp.TOTP, list[str]]:
    text = await page.post("/sign-in/totp", [SURE])
    assert "<svg" in text
    found = re.search(r'<code class="code">([A-Z2-7]+)</code>', text)
    assert found is not None
    app = pyotp.TOTP(found[1])
    text = await page.post("/sign-in/totp/confirm", [("code", app.at(world.clock() // 1000))])
    codes = re.findall(r"([a-z0-9-]{15,})<br>", text)
    world.clock.advance(60)
    return app, codes


async def test_an_app_is_set_up_and_asked_for(world: World, page: Visitor) -> None:
    app, codes = await set_up_app(world, page)
    assert len(codes) == 10
    text = await page.get("/sign-in")
    assert "Recovery codes left: 10" in text
    assert codes[0] not in text  # on that one page only
    await page.post("/logout")
    assert "enter the code" in await page.login("admin", ADMIN_PASSWORD)
    code = app.at(world.clock() // 1000)
    await page.post("/login", [("name", "admin"), SURE, ("code", code)])
    assert page.at == "/"
    await page.post("/logout")
    await page.post("/login", [("name", "admin"), SURE, ("code", codes[0])])
    assert page.at == "/"
    assert "Recovery codes left: 9" in await page.get("/sign-in")


async def test_a_wrong_first_code_sets_nothing_up(world: World, page: Visitor) -> None:
    await page.post("/sign-in/totp", [SURE])
    for code in ("000000", "", "x"):
        await page.post("/sign-in/totp/confirm", [("code", code)])
        assert page.status == 400
    assert "Not set up" in await page.get("/sign-in")
    assert "second_factor_added" not in await world.actions()


async def test_removing_the_app_takes_the_password(world: World, page: Visitor) -> None:
    await set_up_app(world, page)
    assert "password is wrong" in await page.post("/sign-in/totp/remove", [("password", "no")])
    assert "Not set up" in await page.post("/sign-in/totp/remove", [SURE])


async def test_a_passkey_is_added_used_and_removed(world: World, page: Visitor) -> None:
    finger = Authenticator(page.url)
    text = await page.post("/sign-in/passkeys/new", [("name", "my <key>"), SURE])
    found = re.search(r'data-options="([^"]+)"', text)
    assert found is not None
    options = unescape(found[1])
    assert json.loads(options)["rp"]["id"] == "localhost"
    made = [("name", "my <key>"), ("credential", finger.create(options))]
    text = await page.post("/sign-in/passkeys", made)
    assert page.at == "/sign-in"
    assert "<h3>my &lt;key&gt;</h3>" in text
    remove = re.search(r'action="(/sign-in/passkeys/[\w-]+/remove)"', text)
    assert remove is not None
    assert "does not fit" in await page.post("/sign-in/passkeys", made)  # each answer once
    await page.post("/logout")
    asked = (await world.anyone.ok("POST", "/login/passkey/options"))["options"]
    await page.post("/login/passkey", [("credential", finger.get(asked))])
    assert page.at == "/"
    await page.get("/sign-in")
    assert "password is wrong" in await page.post(remove[1], [("password", "no")])
    assert "<h3>" not in await page.post(remove[1], [SURE])
    await page.post("/logout")
    asked = (await world.anyone.ok("POST", "/login/passkey/options"))["options"]
    await page.post("/login/passkey", [("credential", finger.get(asked))])
    assert page.status == 403
    assert page.cookie == ""


@pytest.mark.parametrize("path", ["/sign-in/totp", "/sign-in/passkeys/new"])
async def test_what_opens_the_account_takes_the_password(page: Visitor, path: str) -> None:
    assert "password is wrong" in await page.post(path, [("name", "x"), ("password", "no")])
    assert page.status == 400


async def test_nonsense_for_a_passkey_is_refused(page: Visitor) -> None:
    for credential in ("", "{", "null", "[]", '{"rawId":1,"response":{}}'):
        await page.post("/sign-in/passkeys", [("name", "x"), ("credential", credential)])
        assert page.status == 400, credential
        await page.post("/login/passkey", [("credential", credential)])
        assert page.status == 403, credential
