"""Each daemon does its work with no more rights than its unit leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.service_manager import PROGRAMS

if TYPE_CHECKING:
    from testbed.service_manager import ServiceManager

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

PAGE = "https://192.168.1.1:8443"
# Arguments: origin, path, then name=value of a form to post there after a look at the first page.
BROWSER = """
import http.cookiejar, ssl, sys, urllib.error, urllib.parse, urllib.request
origin, path, *fields = sys.argv[1:]
browser = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
    urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
)
form = urllib.parse.urlencode([tuple(each.split("=", 1)) for each in fields]).encode()
try:
    if fields:
        browser.open(origin + "/").read()
    asked = urllib.request.Request(origin + path, form or None, {"Origin": origin})
    said = browser.open(asked)
except urllib.error.HTTPError as error:
    said = error
print(said.status, said.read().decode())
"""


def ask(manager: ServiceManager, origin: str, path: str, *fields: str) -> str:
    return manager.run(f"{PROGRAMS}/bin/python", "-c", BROWSER, origin, path, *fields).stdout


def test_the_clouds_daemons_answer(running: ServiceManager) -> None:
    probed = running.run(f"{PROGRAMS}/bin/stund-probe", "127.0.0.1:3478").stdout
    assert "5 of 5 answered" in probed
    assert ask(running, "https://127.0.0.1", "/api/v1/gateways").startswith("401")
    assert ask(running, "https://127.0.0.1:8443", "/").startswith("404")


def test_the_page_keeps_a_password_and_shows_what_rcd_says(running: ServiceManager) -> None:
    password = "four words on paper"
    said = ask(running, PAGE, "/password", f"password={password}", f"repeat={password}")
    assert said.startswith("200")
    assert 'class="state off"' in said
