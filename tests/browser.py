"""Debian's Chromium for the tests of pages: no foreign host, every complaint collected."""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axe_playwright_python.base import AXE_FILE_PATH
from PIL import Image
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

PHONE: Final = {"width": 360, "height": 740}
DESK: Final = {"width": 1920, "height": 1080}
SCREENS: Final = os.environ.get("REMOTECONNECT_SCREENS", "")
"""Where `make screens` wants its pictures; empty: none are taken."""
MAX_HEIGHT: Final = 2400
COLOURS: Final = 64
_SIZE: Final = "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
_SERIOUS: Final = frozenset({"serious", "critical"})
# The console tells most of them; this tells all, where scripts run.
_TELL_VIOLATIONS: Final = (
    "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective))"
)
# Without these, Chromium asks hosts of its maker at every start.
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Tab:
    """One page and what the browser had to complain about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    async def stranger(
        self,
        *,
        size: dict[str, int] = DESK,
        language: str = "en",
        script: bool = True,
        dark: bool = False,
    ) -> Tab:
        """Somebody else's tab, who shares the browser and nothing in it."""
        browser = self.page.context.browser
        if browser is None:
            raise AssertionError("a tab opened by `open_tab` has a browser")
        return await _open(browser, size=size, language=language, script=script, dark=dark)

    async def serious_findings(self) -> list[str]:
        """What axe-core calls serious or critical (WCAG 2.1 A and AA)."""
        await self.page.evaluate(Path(AXE_FILE_PATH).read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
        found = await self.page.evaluate("tags => axe.run({runOnly: tags})", tags)
        return [
            f"{each['id']}: {each['nodes'][0]['html']}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
        ]

    async def is_wider_than_the_screen(self) -> bool:
        return bool(
            await self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    async def hide(self, selector: str) -> None:
        """What is shown once is not for pictures."""
        await self.page.locator(selector).evaluate("(shown) => { shown.textContent = '…'; }")

    async def picture(self, name: str) -> None:
        """Of the whole page, but for the rest of a long list."""
        if SCREENS:
            width, height = await self.page.evaluate(_SIZE)
            clip = {"x": 0, "y": 0, "width": width, "height": min(height, MAX_HEIGHT)}
            path = Path(SCREENS) / f"{name}.png"
            taken = await self.page.screenshot(full_page=True, clip=clip)
            with Image.open(BytesIO(taken)) as image:
                image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def why_no_browser() -> str | None:
    if shutil.which("chromium") is None:
        return "chromium is missing (apt install chromium)"
    return None


@asynccontextmanager
async def open_tab(
    *, size: dict[str, int] = DESK, language: str = "en", script: bool = True, dark: bool = False
) -> AsyncIterator[Tab]:
    """Open one tab of a fresh browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(_ARGUMENTS)
        )
        try:
            yield await _open(browser, size=size, language=language, script=script, dark=dark)
        finally:
            await browser.close()


async def _open(
    browser: Browser, *, size: dict[str, int], language: str, script: bool, dark: bool
) -> Tab:
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        locale=language,
        java_script_enabled=script,
        color_scheme="dark" if dark else "light",
        ignore_https_errors=True,
    )
    await context.add_init_script(_TELL_VIOLATIONS)
    page = await context.new_page()
    tab = Tab(page)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    page.on(
        "console",
        lambda said: tab.complaints.append(said.text) if said.type == "error" else None,
    )
    return tab
