"""The check of the connection by the page, with real servers and a plant's real firewalls."""

from __future__ import annotations

import re
from contextlib import contextmanager
from html import unescape
from typing import TYPE_CHECKING, Final

import pytest

from testbed.suite import CONTROL_HOST
from testbed.waiting import until
from testbed.wall_clock import DAY_S, HOUR_S
from tests.e2e.conftest import staged_with_clocks
from tests.e2e.test_t26_dns_loss import Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.browser import Browser
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

TO_THE_CLOUD: Final = "oifname wan0 ip daddr 203.0.113.0/24"
FIREWALL: Final = """
table inet plant_it {{
  chain forward {{
    type filter hook forward priority -10
    {rule}
  }}
}}
"""
RIGHT_ANSWERS: Final = 11
"""Five names, the five servers behind them, and the clock."""


def check(browser: Browser, **fields: str) -> str:
    """Press the button, as soon as the gateway takes another check; returns the words shown."""

    def checked() -> str | None:
        browser.get("/check?lang=en")
        shown = browser.submit("/check", **fields)
        return None if "The next one is possible in" in shown else shown

    return words(until(checked, 60, "a check of the connection"))


def words(page: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", page)).split())


@contextmanager
def firewall(story: Story, rule: str) -> Iterator[None]:
    """The plant's router forwards no such packets any more."""
    router = story.bed.host("plant_nat")
    router.run(["nft", "-f", "-"], stdin=FIREWALL.format(rule=rule), check=True)
    try:
        yield
    finally:
        router.run(["nft", "delete table inet plant_it"], check=True)


def test_while_off_only_the_button_sends_packets_and_it_is_on_record(story: Story) -> None:
    story.ams.get("/")
    assert 'class="state off"' in story.ams.text
    before = story.bed.counter("gateway", TO_THE_CLOUD)
    looked = story.ams.get("/check?lang=en")
    assert "Remote access is OFF, and the gateway then sends nothing" in words(looked)
    assert before.packets == 0
    said = check(story.ams)
    assert "Everything can be reached." in said
    assert said.count(" good ") == RIGHT_ANSWERS
    assert "TCP to control.example, port 443 (control plane)" in said
    assert "TCP to relay2.example, port 8444 (relay)" in said
    assert "UDP to stun2.example, port 3478 (STUN)" in said
    assert before.packets > 0
    gateway = story.bed.host("gateway")
    until(lambda: not gateway.run(["ss", "-Htn", "dst", "203.0.113.0/24"]).stdout, 5, "silence")
    after = story.bed.counter("gateway", TO_THE_CLOUD)
    story.ams.get("/history?lang=en")
    assert "Connection checked" in story.ams.text
    assert 'class="state off"' in story.ams.get("/")
    assert after.packets == 0


@pytest.fixture(scope="module")
def plant() -> Iterator[Story]:
    """A plant of its own, whose rcd has a clock of its own."""
    with staged_with_clocks("gateway:rcd") as told:
        told.start_programs()
        told.enrol_gateway()
        check(told.ams)
        yield told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "udp dport 3478 drop",
            [
                "2 things do not work",
                "Allow outgoing UDP 3478 from this gateway to stun1.example.",
                "Allow outgoing UDP 3478 from this gateway to stun2.example.",
                "always by a relay",
            ],
        ),
        (
            "tcp dport 443 drop",
            [
                "One thing does not work",
                "No answer; this is what a firewall looks like that drops.",
                "Allow outgoing TCP 443 from this gateway to control.example.",
            ],
        ),
        (
            "tcp dport 443 reject with tcp reset",
            ["One thing does not work", "Turned down or cut off", "allow outgoing port 443"],
        ),
        (
            "tcp dport 8444 drop",
            ["One thing does not work", "Allow outgoing TCP 8444 from this gateway to relay2"],
        ),
    ],
    ids=["udp-3478", "tcp-443", "tcp-443-rejected", "one-relay"],
)
def test_what_a_firewall_drops_is_named(plant: Story, rule: str, said: list[str]) -> None:
    with firewall(plant, rule):
        shown = check(plant.ams)
    for sentence in said:
        assert sentence in shown
    assert "Outgoing only" in shown
    assert "Everything can be reached." in check(plant.ams)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("silent", "The plant's DNS server does not answer."),
        ("nxdomain", "The DNS server does not know this name."),
    ],
)
def test_dns_that_fails_is_named(plant: Story, mode: str, said: str) -> None:
    names = Names(plant)
    try:
        names.answer(mode)
        shown = check(plant.ams)
    finally:
        names.restore()
    assert said in shown
    assert "allow outgoing UDP and TCP 53 to it" in shown or mode == "nxdomain"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2 * HOUR_S, "This gateway's clock is 2 h fast."),
        (-30 * DAY_S, "By this gateway's clock it is now "),
    ],
    ids=["fast", "before-the-certificate"],
)
def test_a_wrong_clock_is_named(plant: Story, seconds: float, said: str) -> None:
    clock = plant.suite.clocks["gateway:rcd"]
    clock.set_off(seconds)
    try:
        shown = check(plant.ams)
    finally:
        clock.set_off(0)
    assert said in shown
    assert f"https://{CONTROL_HOST}" in shown
