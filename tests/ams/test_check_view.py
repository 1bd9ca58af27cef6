from __future__ import annotations

import itertools

import pytest

from ams.check_view import Way, rows, ways
from ams.words import WORDS
from rclib.pages.language import LANGUAGES, Language
from rclib.wire.local import Check, CheckOutcome, CheckPart, CheckReport


def report(*checks: Check, proxy: str = "") -> CheckReport:
    return CheckReport("https://cloud.example", 1_700_000_000_000, checks, proxy)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    ("part", "outcome"), list(itertools.product(CheckPart, CheckOutcome)), ids=str
)
def test_every_outcome_of_every_part_has_a_sentence(
    part: CheckPart, outcome: CheckOutcome, code: str
) -> None:
    language = Language(code, WORDS)
    for offset_s in (None, 7200.0, -7200.0):
        check = Check(part, "host.example", 443, outcome, "why", offset_s)
        (row,) = rows(report(check), language)
        assert row.title
        assert row.sentence


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            Check(CheckPart.CONTROL, "cloud.example", 443, CheckOutcome.SILENT),
            "Allow outgoing TCP 443 from this gateway to cloud.example.",
        ),
        (
            Check(CheckPart.STUN, "stun.example", 3478, CheckOutcome.SILENT),
            "Allow outgoing UDP 3478 from this gateway to stun.example.",
        ),
        (
            Check(CheckPart.NAME, "cloud.example", 53, CheckOutcome.SILENT),
            "allow outgoing UDP and TCP 53 to it.",
        ),
        (
            Check(CheckPart.CLOCK, "", 0, CheckOutcome.OFF, offset_s=7200.0),
            "This gateway's clock is 2 h fast.",
        ),
        (
            Check(CheckPart.CLOCK, "", 0, CheckOutcome.OFF, offset_s=-7200.0),
            "This gateway's clock is 2 h slow.",
        ),
        (
            Check(CheckPart.CLOCK, "", 0, CheckOutcome.OFF),
            "By this gateway's clock it is now 2023-",
        ),
    ],
)
def test_the_sentence_says_what_to_do(check: Check, said: str) -> None:
    (row,) = rows(report(check), Language("en", WORDS))
    assert row.verdict == "problem"
    assert said in row.sentence


NEEDED = (
    Check(CheckPart.NAME, "cloud.example", 53, CheckOutcome.GOOD),
    Check(CheckPart.CONTROL, "cloud.example", 443, CheckOutcome.SILENT),
    Check(CheckPart.CLOCK, "", 0, CheckOutcome.SKIPPED),
    Check(CheckPart.NAME, "relay.example", 53, CheckOutcome.GOOD),
    Check(CheckPart.RELAY, "relay.example", 8443, CheckOutcome.GOOD),
    Check(CheckPart.STUN, "stun.example", 3478, CheckOutcome.GOOD),
)


def test_what_the_firewall_has_to_let_out_is_listed_once_whether_it_does_or_not() -> None:
    assert ways(report(*NEEDED)) == [
        Way("name", "UDP + TCP", "", 53),
        Way("control", "TCP", "cloud.example", 443),
        Way("relay", "TCP", "relay.example", 8443),
        Way("stun", "UDP", "stun.example", 3478),
    ]


def test_behind_a_proxy_only_the_proxy_and_stun_are_needed() -> None:
    assert ways(report(*NEEDED, proxy="proxy.plant:3128")) == [
        Way("proxy", "TCP", "proxy.plant", 3128),
        Way("name", "UDP + TCP", "", 53),
        Way("stun", "UDP", "stun.example", 3478),
    ]
