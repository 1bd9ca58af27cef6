"""docs/screens has a picture of every page, and none of a page that is gone.

`make screens` takes them. A name is SITE-PAGE[-WHAT]-SIZE-LANGUAGE.png, where PAGE is the page's
template: portal-sign-in-codes-phone-de.png shows `sign_in.html`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "docs" / "screens"
TEMPLATES = {"ams": ROOT / "ams/templates", "portal": ROOT / "controld/portal/templates"}
PARTS = {"page", "parts", "state"}
"""Templates that other pages are made of."""
NAME = re.compile(r"(ams|portal)-([a-z-]+)-(phone|desk)-(de|en)\.png")
MAX_BYTES = 250_000


def pages(site: str) -> set[str]:
    return {path.stem.replace("_", "-") for path in TEMPLATES[site].glob("*.html")} - PARTS


def shown(name: str) -> tuple[str, str]:
    """Site and page of a picture; the page is empty where there is none of that name."""
    found = NAME.fullmatch(name)
    assert found is not None, f"{name} is not named like a picture of a page"
    site, what = found[1], found[2]
    fitting = [page for page in pages(site) if what == page or what.startswith(f"{page}-")]
    return site, max(fitting, key=len, default="")


@pytest.mark.parametrize("site", sorted(TEMPLATES))
def test_every_page_is_in_a_picture(site: str) -> None:
    taken = [shown(path.name) for path in SCREENS.glob(f"{site}-*.png")]
    missing = pages(site) - {page for _, page in taken}
    assert not missing, f"let a test take a picture of {missing}, and run `make screens`"


def test_every_picture_is_of_a_page() -> None:
    stale = [path.name for path in SCREENS.iterdir() if not shown(path.name)[1]]
    assert not stale, "these pages are gone"


def test_the_pictures_are_small() -> None:
    assert [path.name for path in SCREENS.iterdir() if path.stat().st_size > MAX_BYTES] == []


def test_a_longer_page_name_goes_before_a_shorter_one_with_an_addition() -> None:
    assert shown("portal-session-start-phone-de.png") == ("portal", "session-start")
    assert shown("portal-session-active-phone-de.png") == ("portal", "session")
    assert shown("portal-nothing-phone-de.png") == ("portal", "")
