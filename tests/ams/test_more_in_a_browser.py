"""The rarer pages and states in Chromium: what nobody has broken looks right, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from rclib.wire.local import Check, CheckOutcome, CheckPart, CheckReport, GateState, KeySwitchState
from tests.ams.conftest import PASSWORD, a_session, off, on
from tests.ams.test_check_pages import ENROLLED, REPORT
from tests.ams.test_in_a_browser import check, set_password
from tests.browser import DESK, PHONE, open_tab, why_no_browser

if TYPE_CHECKING:
    from rclib.wire.ids import EndpointId
    from tests.ams.conftest import StandInRcd, Visitor

pytestmark = [
    pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser())),
    pytest.mark.slow,
    pytest.mark.timeout(180),
]
BLOCKED = CheckReport(
    REPORT.server,
    REPORT.at_ms,
    (
        Check(CheckPart.NAME, "control.example", 53, CheckOutcome.SILENT, "no answer within 3 s"),
        Check(CheckPart.CONTROL, "control.example", 443, CheckOutcome.SKIPPED),
        Check(CheckPart.CLOCK, "", 0, CheckOutcome.SKIPPED),
        Check(CheckPart.RELAY, "relay1.example", 443, CheckOutcome.REFUSED, "connection refused"),
        Check(CheckPart.RELAY, "relay2.example", 443, CheckOutcome.FOREIGN, "CN=Plant Firewall"),
        Check(CheckPart.STUN, "stun1.example", 3478, CheckOutcome.UNREACHABLE, "no route to host"),
    ),
)
GOOD = CheckReport(
    REPORT.server,
    REPORT.at_ms,
    tuple(
        Check(each.part, each.host, each.port, CheckOutcome.GOOD, "203.0.113.10")
        for each in REPORT.checks
    ),
)


async def test_the_door_of_who_comes_again(running_rcd: StandInRcd, visitor: Visitor) -> None:
    assert running_rcd.asked == []
    await visitor.enter()
    async with open_tab(size=PHONE, language="de") as tab:
        await tab.page.goto(visitor.url)
        await check(tab, "ams-door-login-phone-de")
        await tab.page.fill("#password", "something else")
        await tab.page.get_by_role("button", name="Anmelden").click()
        await expect(tab.page.locator("[role=alert]")).to_have_text("Das Passwort stimmt nicht.")
        await tab.page.fill("#password", PASSWORD)
        await tab.page.get_by_role("button", name="Anmelden").click()
        await tab.page.wait_for_selector(".state.off")


async def test_ending_asks_first_and_what_is_not_there_says_so(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    running_rcd.status = on(sessions=(a_session(),))
    async with open_tab(size=PHONE, language="de") as tab:
        await set_password(tab, visitor.url, "de")
        await tab.page.get_by_role("link", name="Beenden").click()
        await check(tab, "ams-confirm-end-phone-de")
        await tab.page.get_by_role("button", name="Ja, beenden").click()
        await tab.page.wait_for_selector("text=Die Verbindung ist beendet.")
        assert tab.complaints == []
        await tab.page.goto(visitor.url + "/nothing-here")
        await check(tab, "ams-error-phone-de")


async def test_a_key_switch_and_a_gate_that_is_away_are_told(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    running_rcd.status = off(
        endpoint=ENROLLED,
        key_switch=KeySwitchState.OFF,
        gate=GateState.UNREACHABLE,
        gate_detail="no answer",
    )
    async with open_tab(size=PHONE, language="de") as tab:
        await set_password(tab, visitor.url, "de")
        await check(tab, "ams-overview-key-switch-phone-de")


@pytest.mark.parametrize(
    ("endpoint", "report", "size", "language", "name"),
    [
        (None, None, PHONE, "de", "ask-phone-de"),
        (ENROLLED, BLOCKED, PHONE, "de", "blocked-phone-de"),
        (ENROLLED, GOOD, DESK, "en", "good-desk-en"),
    ],
    ids=["ask", "blocked", "good"],
)
async def test_the_connection_check_before_and_after(
    running_rcd: StandInRcd,
    visitor: Visitor,
    *,
    endpoint: EndpointId | None,
    report: CheckReport | None,
    size: dict[str, int],
    language: str,
    name: str,
) -> None:
    running_rcd.status, running_rcd.report = off(endpoint=endpoint), report
    async with open_tab(size=size, language=language) as tab:
        await set_password(tab, visitor.url, language)
        await tab.page.goto(visitor.url + "/check")
        if report is not None:
            await tab.page.locator("main form button").click()
            await expect(tab.page.locator(".checks li")).to_have_count(len(report.checks))
        await check(tab, f"ams-check-{name}")
        assert tab.complaints == []
