"""The portal in Debian's Chromium: the admin's and the technician's way, by clicking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp
import pytest
from playwright.async_api import expect

from tests.browser import DESK, PHONE, Tab, open_tab, why_no_browser
from tests.controld.callers import ADMIN_PASSWORD, End

if TYPE_CHECKING:
    from tests.controld.world import Rig, World

pytestmark = [
    pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser())),
    pytest.mark.timeout(240),
]


async def check(tab: Tab, name: str) -> None:
    assert await tab.serious_findings() == []
    assert not await tab.is_wider_than_the_screen()
    await tab.picture(name)


async def login(tab: Tab, world: World, name: str, button: str) -> None:
    await tab.page.goto(world.anyone.base)
    await tab.page.fill("#name", name)
    await tab.page.fill("#password", ADMIN_PASSWORD)
    await tab.page.get_by_role("button", name=button, exact=True).click()
    await tab.page.wait_for_url(world.anyone.base + "/")


async def test_an_administrator_lets_the_right_person_in(world: World) -> None:
    await world.admin.new_user("tina", "rc_user")
    async with open_tab(size=DESK, language="en") as tab:
        page = tab.page
        await page.goto(world.anyone.base)
        await check(tab, "portal-login-desk-en")
        await login(tab, world, "admin", "Log in")
        await check(tab, "portal-overview-empty-desk-en")
        await page.fill("#name", "press shop")
        await page.get_by_role("button", name="Add a gateway").click()
        code = await page.locator("dd.code").nth(1).inner_text()
        await tab.hide("dd.code >> nth=1")
        await check(tab, "portal-gateway-code-desk-en")
        gateway = await End(world.anyone).enrol(code)
        await page.get_by_role("link", name="On to the gateway").click()
        await page.fill("#name", "PLC of line 3")
        await page.fill("#address", "192.168.1.10")
        await page.get_by_label("Modbus TCP").check()
        await page.get_by_label("S7 (ISO-TSAP)").check()
        await page.get_by_role("button", name="Add a machine").click()
        await page.wait_for_selector("text=S7 (ISO-TSAP), Modbus TCP")
        await check(tab, "portal-gateway-desk-en")
        await page.get_by_role("link", name="Prepare a session").click()
        assert await page.is_visible("#summary-none")
        await page.fill("#name", "line 3, drive")
        await page.get_by_label("Modbus TCP").check()
        await expect(page.locator("#summary-list")).to_have_text(
            "PLC of line 3 (192.168.1.10): Modbus TCP"
        )
        await page.get_by_label("tina").check()
        await page.fill("#reason", "drive reports fault 17")
        await check(tab, "portal-session-plan-desk-en")
        await page.get_by_role("button", name="Prepare a session").click()
        await page.wait_for_selector("text=drive reports fault 17")
        await check(tab, "portal-session-desk-en")
        for address, name in (("users", "users"), ("record", "record"), ("computers", "computers")):
            await page.goto(f"{world.anyone.base}/{address}")
            await check(tab, f"portal-{name}-desk-en")
        await world.online(gateway)
        await page.goto(world.anyone.base)
        # The plant goes ON and OFF, and the overview follows without a click.
        await expect(page.locator("#gateways")).to_contain_text("online")
        await check(tab, "portal-overview-desk-en")
        await gateway.hang_up()
        await expect(page.locator("#gateways")).to_contain_text("OFF at the plant", timeout=20_000)
        assert tab.complaints == []


@pytest.mark.slow
async def test_a_technician_starts_on_a_phone_in_german(world: World, rig: Rig) -> None:
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await login(tab, world, "tina", "Anmelden")
        await check(tab, "portal-overview-session-phone-de")
        await page.locator("#sessions td a").click()
        await check(tab, "portal-session-technician-phone-de")
        await page.get_by_role("button", name="Starten").click()
        await page.wait_for_selector("#handover")
        await check(tab, "portal-session-start-phone-de")
        # A browser without a screen never decides what to do with the client's link, and its tab
        # waits for that; a person's browser asks, or does nothing.
        another = await page.context.new_page()
        await another.goto(f"{world.anyone.base}/sessions/{rig.session}")
        await another.get_by_role("button", name="Beenden").click()
        await another.wait_for_selector("text=vom Techniker beendet")
        assert tab.complaints == []


async def test_everything_works_without_javascript(world: World, rig: Rig) -> None:
    async with open_tab(size=PHONE, script=False) as tab:
        page = tab.page
        await login(tab, world, "admin", "Log in")
        await page.goto(f"{world.anyone.base}/sessions/{rig.session}")
        await page.get_by_role("button", name="Start").click()
        await page.wait_for_selector("#handover")
        await page.get_by_role("link", name="To the session").click()
        await page.get_by_role("button", name="End").click()
        await page.wait_for_selector("text=ended by the technician")


@pytest.mark.slow
@pytest.mark.usefixtures("provider")
async def test_ways_in_besides_the_password(world: World) -> None:
    """Passkey and provider, with the browser's own WebAuthn and its own idea of our policy."""
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        base = world.anyone.base.replace("127.0.0.1", "localhost")
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                }
            },
        )
        await page.goto(base)
        await check(tab, "portal-login-phone-de")
        await page.fill("#name", "admin")
        await page.fill("#password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await page.wait_for_url(base + "/")
        await page.get_by_role("link", name="admin").click()
        await page.wait_for_url(base + "/sign-in")
        await check(tab, "portal-sign-in-phone-de")

        await page.fill("#passkey-name", "Telefon")
        await page.fill("#passkey-password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Passkey hinzufügen").click()
        await page.get_by_role("button", name="Passkey anlegen").click()
        await page.wait_for_selector("h3:has-text('Telefon')")

        await page.fill("#provider-corp", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Mit Corp verknüpfen").click()
        await page.get_by_role("link", name="Weiter zu Corp").click()
        await page.wait_for_selector("text=Verknüpfung mit Corp lösen")

        await page.get_by_role("button", name="Abmelden").click()
        await page.get_by_role("button", name="Mit Passkey anmelden").click()
        await page.wait_for_url(base + "/")
        await page.get_by_role("button", name="Abmelden").click()
        await page.get_by_role("link", name="Anmelden mit Corp").click()
        await page.wait_for_url(base + "/")

        await page.goto(base + "/sign-in")
        await page.fill("#totp-password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="App einrichten").click()
        key = await page.locator("code.code").inner_text()
        await page.fill("#code", pyotp.TOTP(key).at(world.clock() // 1000))
        await page.get_by_role("button", name="App einrichten").click()
        await page.wait_for_selector("text=Wiederherstellungscodes übrig: 10")
        assert tab.complaints == []
