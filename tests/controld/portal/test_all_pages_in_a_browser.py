"""The portal's rarer pages in Chromium: ways in, the own account, users, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp
import pytest
from playwright.async_api import expect

from controld import store_subjects
from rclib.wire.ids import UserId
from tests.browser import PHONE, open_tab, why_no_browser
from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.portal.test_portal_in_a_browser import check, login
from tests.controld.test_session_releases import set_policy

if TYPE_CHECKING:
    from tests.controld.world import Rig, World

pytestmark = [
    pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser())),
    pytest.mark.slow,
    pytest.mark.usefixtures("provider"),
    pytest.mark.timeout(240),
]


async def test_a_first_login_and_a_password_of_ones_own(world: World) -> None:
    made = await world.admin.ok("POST", "/users", {"name": "tina", "role": "rc_user"})
    async with open_tab(size=PHONE, language="de") as tab:
        page, base = tab.page, world.anyone.base
        await page.goto(base)
        await page.fill("#name", "tina")
        await page.fill("#password", made["password"])
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await page.wait_for_url(base + "/password")
        await check(tab, "portal-password-phone-de")
        await page.fill("#old", made["password"])
        for field in ("#new", "#repeat"):
            await page.fill(field, ADMIN_PASSWORD + " 2")
        await page.get_by_role("button", name="Speichern").click()
        await page.wait_for_url(base + "/")
        await check(tab, "portal-overview-technician-phone-de")
        await page.goto(base + "/computers")
        await page.fill("#name", "Laptop")
        await page.get_by_role("button", name="Rechner anmelden").click()
        await tab.hide("code.code")
        await check(tab, "portal-computers-phone-de")
        assert tab.complaints == []


async def test_somebody_guessed_meanwhile(world: World) -> None:
    await world.anyone("POST", "/login", {"name": "admin", "password": "wrong"})
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await page.goto(world.anyone.base)
        await page.fill("#name", "admin")
        await page.fill("#password", "wrong, too")
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await check(tab, "portal-login-refused-phone-de")
        await page.fill("#name", "admin")
        await page.fill("#password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await page.wait_for_selector("text=2-mal")
        await check(tab, "portal-failed-logins-phone-de")
        await page.goto(world.anyone.base + "/gateways/gwy_aaaaaaaaaaaaaaaa")
        await check(tab, "portal-error-phone-de")


async def test_second_factor_passkey_and_provider(world: World) -> None:
    base = world.anyone.base.replace("127.0.0.1", "localhost")
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await page.goto(base)
        await page.fill("#name", "admin")
        await page.fill("#password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await page.goto(base + "/sign-in")
        await page.fill("#passkey-name", "Telefon")
        await page.fill("#passkey-password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Passkey hinzufügen").click()
        await expect(page.get_by_role("button", name="Passkey anlegen")).to_be_visible()
        await check(tab, "portal-passkey-new-phone-de")
        await page.goto(base + "/sign-in")
        await page.fill("#totp-password", ADMIN_PASSWORD)
        await page.get_by_role("button", name="App einrichten").click()
        key = await page.locator("code.code").inner_text()
        await check(tab, "portal-totp-new-phone-de")
        await page.fill("#code", pyotp.TOTP(key).at(world.clock() // 1000))
        await page.get_by_role("button", name="App einrichten").click()
        await page.wait_for_selector("text=Wiederherstellungscodes übrig: 10")
        await tab.hide("code.code")
        await check(tab, "portal-sign-in-codes-phone-de")
        await page.fill("#provider-corp", ADMIN_PASSWORD)
        await page.get_by_role("button", name="Mit Corp verknüpfen").click()
        await check(tab, "portal-provider-go-phone-de")
        await page.get_by_role("link", name="Weiter zu Corp").click()
        await page.wait_for_selector("text=Verknüpfung mit Corp lösen")
        await page.get_by_role("button", name="Abmelden").click()
        await page.get_by_role("link", name="Anmelden mit Corp").click()
        await page.wait_for_selector("text=Noch der Code")
        await check(tab, "portal-login-code-phone-de")
        assert tab.complaints == []


async def test_a_plant_that_wants_to_know_why(world: World, rig: Rig) -> None:
    await set_policy(rig, reason="required")
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await login(tab, world, "tina", "Anmelden")
        await page.goto(f"{world.anyone.base}/sessions/{rig.session}")
        await page.get_by_role("button", name="Starten").click()
        await page.wait_for_selector("#reason")
        await check(tab, "portal-session-reason-phone-de")


async def test_users_and_organisations_are_looked_after_on_a_phone(world: World) -> None:
    user, _ = await world.admin.new_user("tina", "rc_user")
    await world.admin.new_user("alexander.von-humboldt@maschinenbau.example", "auditor")
    (configured,) = world.server.services.config.providers
    await world.server.services.store.write(
        lambda tx: store_subjects.link(tx, UserId(user), configured.issuer, "248289761001", 1)
    )
    async with open_tab(size=PHONE, language="de") as tab:
        page, base = tab.page, world.anyone.base
        await login(tab, world, "admin", "Anmelden")
        await page.goto(base + "/users")
        await page.fill("#name", "otto")
        await page.get_by_role("button", name="Benutzer anlegen").click()
        await page.wait_for_selector("text=Einmal-Passwort für otto")
        await tab.hide("code.code")
        await check(tab, "portal-users-added-phone-de")
        await page.get_by_role("link", name="tina").click()
        await page.wait_for_selector("text=Verknüpfung mit Corp lösen")
        await check(tab, "portal-user-phone-de")
        await page.goto(base + "/organisations")
        await page.fill("#name", "Maschinenbau Süd")
        await page.fill("#administrator", "eva")
        await page.get_by_role("button", name="Organisation anlegen").click()
        await page.wait_for_selector("text=Einmal-Passwort für eva")
        await tab.hide("code.code")
        await check(tab, "portal-organisations-phone-de")
        assert tab.complaints == []


async def test_forms_that_are_refused_keep_what_was_typed(world: World, rig: Rig) -> None:
    await world.gateway("Abfüllung")
    gateway = f"{world.anyone.base}/gateways/{rig.gateway.endpoint}"
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await login(tab, world, "admin", "Anmelden")
        await page.goto(world.anyone.base + "/prepare")
        await check(tab, "portal-session-gateway-phone-de")
        await page.goto(f"{gateway}/policy")
        await page.fill("#max_sessions", "3")
        await page.fill("input[name=begin-0]", "22:00")
        await page.fill("input[name=end-0]", "06:00")
        await page.locator("form.stack button").click()
        await expect(page.locator("#wrong")).to_contain_text("mindestens einen Tag")
        await expect(page.locator("#max_sessions")).to_have_value("3")
        await check(tab, "portal-policy-refused-phone-de")
        await page.goto(f"{gateway}/sessions/{rig.session}/change")
        await page.fill("#until", "2001-01-01T10:00")
        await page.fill("#reference", "SO-17")
        await page.get_by_role("button", name="Speichern").click()
        await expect(page.locator("#wrong")).to_contain_text("schon vorbei")
        await expect(page.locator("#reference")).to_have_value("SO-17")
        await check(tab, "portal-session-plan-refused-phone-de")
