"""Policy, tokens, traffic, record and a start's progress in Chromium, large and small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.control import AuditBatch, SessionOffer, SessionProgress
from rclib.wire.session import PathKind
from tests.browser import DESK, PHONE, open_tab, why_no_browser
from tests.controld.portal.test_portal_in_a_browser import check, login

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.controld.world import Rig, World

pytestmark = [
    pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser())),
    pytest.mark.slow,
    pytest.mark.timeout(240),
]
MAX_PAGE_BYTES = 100 * 1024
MACHINES = (
    ("PLC of line 3", "192.168.10.5", 52_400, 1_734_000),
    ("HMI", "192.168.10.6", 9_100, 310_500),
    ("IO-Link master at the infeed conveyor, hall 2", "192.168.10.20", 800, 0),
)


async def furnish(rig: Rig) -> None:
    """A plant with a past: a policy, traffic, a session that is over."""
    rows = [
        {
            "device": name,
            "address": address,
            "to_bytes": str(to_bytes),
            "from_bytes": str(from_bytes),
            "last": "2026-11-25T14:00:00Z",
            "final": "yes",
        }
        for name, address, to_bytes, from_bytes in MACHINES
    ]
    action = AuditAction.FLOW_RECORDED
    events = [AuditEvent(n, n, action, rig.session, "tina", row) for n, row in enumerate(rows, 1)]
    await rig.gateway.say(AuditBatch(tuple(events)))
    past = await rig.world.session(rig.gateway, name="exchange the drive")
    await rig.world.admin.ok("POST", f"/sessions/{past}/end")


@pytest.mark.parametrize(
    ("size", "language", "name"),
    [(DESK, "en", "desk-en"), (PHONE, "de", "phone-de")],
    ids=["desk", "phone"],
)
async def test_the_pages_of_an_administrator(
    world: World, rig: Rig, size: dict[str, int], language: str, name: str
) -> None:
    await furnish(rig)
    base, gateway = world.anyone.base, f"/gateways/{rig.gateway.endpoint}"
    async with open_tab(size=size, language=language) as tab:
        page = tab.page
        await login(tab, world, "admin", "Anmelden" if language == "de" else "Log in")
        await page.goto(f"{base}{gateway}/policy")
        await page.check("input[name=release][value=four_eyes]")
        await page.select_option("#idle_timeout_s", "1800")
        await page.fill("#time_zone", "Europe/Berlin")
        for day in ("monday", "friday"):
            await page.check(f"input[name=days-0][value={day}]")
        await page.fill("input[name=begin-0]", "22:00")
        await page.fill("input[name=end-0]", "06:00")
        await check(tab, f"portal-policy-{name}")
        await page.locator("form.stack button").click()
        await page.wait_for_url(base + gateway)
        await expect(page.locator("svg.chart")).to_be_visible()
        await check(tab, f"portal-gateway-{name}")

        await page.goto(base + "/tokens")
        await page.fill("#name", "reporting")
        await page.check("input[value=see_sessions]")
        await page.check("input[value=read_audit]")
        await page.locator("form.stack button").click()
        await expect(page.locator("code.code")).to_contain_text("rcp_")
        await tab.hide("code.code")
        await check(tab, f"portal-tokens-{name}")

        await page.goto(base + "/record")
        await page.locator("form[action='/record'] button").click()
        await expect(page.locator(".notice.good")).to_be_visible()
        await check(tab, f"portal-record-{name}")
        for address, picture in (
            (f"/sessions/{rig.session}", "session"),
            ("/sessions?show=past", "sessions"),
            ("/client", "client"),
            ("/users", "users"),
            ("/", "overview"),
        ):
            await page.goto(base + address)
            await check(tab, f"portal-{picture}-{name}")
        assert tab.complaints == []


async def test_a_start_is_followed_step_by_step(world: World, rig: Rig) -> None:
    """Live, by Server-Sent Events: no page is loaded again, nothing is clicked."""
    async with open_tab(size=PHONE, language="de") as tab:
        page = tab.page
        await login(tab, world, "tina", "Anmelden")
        await page.goto(f"{world.anyone.base}/sessions/{rig.session}")
        await page.get_by_role("button", name="Starten").click()
        link = await page.locator("#handover").get_attribute("href")
        assert link is not None
        now = page.locator(".steps [aria-current=step]")
        await expect(now).to_have_text("Warten auf Ihren Rechner")
        await check(tab, "portal-session-start-phone-de")
        ticket = link.partition("ticket=")[2].partition("&")[0]
        await rig.client.put_body(rig.redeem(ticket))
        offer = await rig.gateway.expect(SessionOffer)
        await expect(now).to_have_text("Verbindung wird aufgebaut", timeout=20_000)
        await rig.gateway.put_body(rig.answer(offer))
        await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
        await expect(now).to_contain_text("der direkte Weg wird gesucht", timeout=20_000)
        await rig.gateway.say(SessionProgress(rig.session, PathKind.DIRECT))
        await rig.gateway.say(
            AuditBatch((AuditEvent(1, 1, AuditAction.PATH_CHANGED, rig.session),))
        )
        await expect(page.locator(".steps .done").last).to_have_text("Direkter Weg", timeout=20_000)
        assert tab.complaints == []


async def test_no_page_weighs_more_than_100_kib(world: World, rig: Rig) -> None:
    """With everything it loads, as it crosses the wire."""
    await furnish(rig)
    weights: dict[str, int] = {}
    async with open_tab(size=DESK) as tab:
        page = tab.page
        await login(tab, world, "admin", "Log in")
        gateway = f"/gateways/{rig.gateway.endpoint}"
        for path in (
            *("/", "/sessions", "/record", "/users", "/tokens", "/sign-in", "/client"),
            *(gateway, f"{gateway}/policy", f"/prepare/{rig.gateway.endpoint}"),
            *("/organisations", f"{gateway}/sessions/{rig.session}/change"),
            f"/sessions/{rig.session}",
        ):
            weights[path] = await _weight(page, world.anyone.base + path)
    assert {path: weight for path, weight in weights.items() if weight > MAX_PAGE_BYTES} == {}


async def _weight(page: Page, address: str) -> int:
    """Bytes of the page and its files, each fetched anew; the stream of events never finishes."""
    devtools: Any = await page.context.new_cdp_session(page)
    received: list[int] = []

    def finished(event: dict[str, Any]) -> None:
        received.append(int(event["encodedDataLength"]))

    devtools.on("Network.loadingFinished", finished)
    await devtools.send("Network.enable")
    await devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    await page.goto(address, wait_until="load")
    await devtools.detach()
    assert len(received) > 1, "the page and its files"
    return sum(received)
