"""The whole story as people live it: two pages, a phone call about six words, and a PLC."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from ams.words import WORDS as AMS_WORDS
from controld.portal.words import WORDS as PORTAL_WORDS
from rclib.pages.language import Language
from testbed.story import AMS_PASSWORD, PLC, Story
from testbed.suite import AMS_PORT, CONTROL_HOST
from testbed.waiting import until
from tests.browser import DESK, PHONE, Tab, open_tab, why_no_browser
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser())),
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

ADA, TINA = "correct horse battery 1", "correct horse battery 2"
LIVE_MS: Final = 30_000
"""For what comes without a click, on a busy machine."""
POLICY: Final = {
    "release": "plant_release",
    "reason": "required",
    "max_sessions": 4,
    "max_duration_s": 28_800,
    "idle_timeout_s": 0,
    "time_zone": "UTC",
    "windows": [],
}
Say = Callable[..., str]


@dataclass
class Stage:
    """The running programs, and where browsers find their two pages."""

    story: Story
    ams: str
    portal: str


@pytest.fixture(scope="module")
def built() -> Iterator[Stage]:
    with staged() as story:
        story.start_programs()
        story.enrol_technician()
        lan = str(story.bed.host("gateway").addresses_on("lan0")[0].ip)
        ams = story.bed.doorway("gateway", AMS_PORT, lan)
        portal = story.suite.control_door
        yield Stage(story, f"http://127.0.0.1:{ams}", f"https://localhost:{portal}")


@pytest.fixture
def stage(built: Stage) -> Stage:
    """A gateway as delivered, each time."""
    built.story.suite.renew_gateway()
    return built


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_the_whole_story_by_clicking(
    stage: Stage, size: dict[str, int], language: str
) -> None:
    async with open_tab(size=size, language=language) as plant:
        told = Telling(stage, plant, size, language)
        await told.set_the_password()
        await told.enrol()
        await told.turn_on_without_javascript()
        await told.prepare()
        await told.start()
        await told.release_after_comparing_the_words()
        await told.read_the_plc()
        await told.end_at_the_plant()
        await told.read_what_happened()
        # Console errors are among these, and violations of the content security policy.
        assert [each.complaints for each in told.tabs] == [[], [], []]


class Telling:
    """One telling: the plant's tab, the administrator's and the technician's."""

    def __init__(self, stage: Stage, plant: Tab, size: dict[str, int], language: str) -> None:
        self._story = stage.story
        self._at = stage
        self._size, self._language = size, language
        self._plant = plant
        self._admin: Tab
        self._technician: Tab
        self.tabs = [plant]
        self._ams: Say = Language(language, AMS_WORDS).say
        self._portal: Say = Language(language, PORTAL_WORDS).say

    async def set_the_password(self) -> None:
        page = self._plant.page
        await page.goto(self._at.ams)
        await page.fill("#password", AMS_PASSWORD)
        await page.fill("#repeat", AMS_PASSWORD)
        await self._press(self._plant, self._ams("save"))
        await expect(page.locator("h1.big")).to_have_text(self._ams("off"))

    async def enrol(self) -> None:
        """The administrator makes a gateway; the plant types its address and code in."""
        self._admin = await self._log_in("ada", ADA)
        page = self._admin.page
        name = f"press shop {self._language} {self._size['width']}"
        await page.fill("#name", name)
        await self._press(self._admin, self._portal("add_gateway"))
        shown = page.locator("dd.code")
        server, code = await shown.nth(0).inner_text(), await shown.nth(1).inner_text()
        assert server == f"https://{CONTROL_HOST}"
        await page.get_by_role("link", name=self._portal("to_gateway")).click()
        await page.wait_for_url("**/gateways/gwy_*")
        self._story.gateway = page.url.rpartition("/")[2]

        await self._plant.page.fill("#server", server)
        await self._plant.page.fill("#code", code)
        await self._press(self._plant, self._ams("enrol"))
        await expect(self._plant.page.locator(".notice.good")).to_contain_text(name)

    async def turn_on_without_javascript(self) -> None:
        switch = await self._plant.stranger(size=self._size, language=self._language, script=False)
        page = switch.page
        await page.goto(self._at.ams)
        await page.fill("#password", AMS_PASSWORD)
        await self._press(switch, self._ams("login"))
        await self._press(switch, self._ams("continue"))
        await self._press(switch, self._ams("yes_on"))
        await page.wait_for_selector(".state.on")
        # The other tab follows by itself.
        await self._plant.page.wait_for_selector(".state.on", timeout=LIVE_MS)
        await page.context.close()

    async def prepare(self) -> None:
        """The machine, and who may reach it for what."""
        policy = f"/api/v1/gateways/{self._story.gateway}/policy"
        revision = self._story.admin.get(policy)["revision"]
        self._story.admin.put(policy, dict(POLICY), revision)
        page = self._admin.page
        await page.fill("#name", "PLC")
        await page.fill("#address", PLC)
        await page.get_by_label("Modbus TCP").check()
        await self._press(self._admin, self._portal("add_device"))
        await page.get_by_role("link", name=self._portal("prepare")).first.click()
        await page.wait_for_url("**/prepare/*")
        await page.fill("#name", "Line 3")
        await page.get_by_label("Modbus TCP").check()
        await page.get_by_label("tina").check()
        await page.fill("#reason", "drive reports fault 0x2310")
        await self._press(self._admin, self._portal("prepare"))
        await page.wait_for_url("**/sessions/ses_*")
        self._story.session = page.url.rpartition("/")[2]

    async def start(self) -> None:
        """The technician presses Start; the link is followed as her browser would have it."""
        self._technician = await self._log_in("tina", TINA)
        page = self._technician.page
        await page.goto(f"{self._at.portal}/sessions/{self._story.session}")
        await self._press(self._technician, self._portal("start"))
        link = await page.locator("#handover").get_attribute("href")
        assert link is not None
        self._story.client = self._story.suite.connect(link)

    async def release_after_comparing_the_words(self) -> None:
        page = self._plant.page
        await page.get_by_role("link", name=self._ams("look")).click(timeout=LIVE_MS)
        await expect(page.locator("main")).to_contain_text("drive reports fault 0x2310")
        read_out = await asyncio.to_thread(until, self._read_out, 20, "rcc to say six words")
        assert (await page.locator(".phrase").inner_text()).split() == read_out
        await self._press(self._plant, self._ams("release"))
        await expect(page.locator(".notice.good")).to_have_text(self._ams("done_release"))

    async def read_the_plc(self) -> None:
        assert (await asyncio.to_thread(self._story.read_plc))["values"]
        article = self._plant.page.locator("article")
        await expect(article).to_contain_text("tina", timeout=LIVE_MS)
        await expect(article).to_contain_text(PLC)

    async def end_at_the_plant(self) -> None:
        page = self._plant.page
        await page.get_by_role("link", name=self._ams("end_of", who="tina")).click()
        await self._press(self._plant, self._ams("yes_end"))
        await expect(page.locator(".notice.good")).to_have_text(self._ams("done_end"))
        assert self._story.client.wait(15) == 0
        assert "ended (plant_killed)" in self._story.client.out.read_text()
        await self._press(self._plant, self._ams("turn_off"))
        await page.wait_for_selector(".state.off")

    async def read_what_happened(self) -> None:
        """At the plant and in the office: who let whom in, and who ended it."""
        page = self._plant.page
        await page.get_by_role("link", name=self._ams("history")).click()
        for event in ("session_released", "tunnel_opened", "tunnel_closed", "access_changed"):
            await expect(page.locator(".events")).to_contain_text(self._ams(f"event_{event}"))
        page = self._admin.page
        await page.goto(f"{self._at.portal}/sessions/{self._story.session}")
        await expect(page.locator("#session")).to_contain_text(self._portal("end_plant_killed"))
        for action in ("session_prepared", "session_released", "session_active", "session_ended"):
            await expect(page.locator("#session")).to_contain_text(action)

    async def _log_in(self, name: str, password: str) -> Tab:
        tab = await self._plant.stranger(size=self._size, language=self._language)
        self.tabs.append(tab)
        await tab.page.goto(self._at.portal)
        await tab.page.fill("#name", name)
        await tab.page.fill("#password", password)
        await self._press(tab, self._portal("login"))
        await tab.page.wait_for_url(f"{self._at.portal}/")
        return tab

    async def _press(self, tab: Tab, name: str) -> None:
        await tab.page.get_by_role("button", name=name, exact=True).click()

    def _read_out(self) -> list[str] | None:
        found = re.search("six words: (.+)", self._story.client.out.read_text())
        return found[1].split() if found else None
