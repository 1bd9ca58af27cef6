"""What the page says about a check of the connection. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.wire.local import CheckOutcome, CheckPart

if TYPE_CHECKING:
    from rclib.pages.language import Language
    from rclib.wire.local import Check, CheckReport

DNS_PORT: Final = 53
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was tried."""

    verdict: str
    """`good`, `problem` or `skipped`."""
    title: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Way:
    """What the firewall has to let out, and nothing in."""

    purpose: str
    protocol: str
    host: str
    """Empty: the plant's DNS server, whichever that is."""
    port: int


def rows(report: CheckReport, language: Language) -> list[Row]:
    return [
        Row(
            verdict=_verdict(check.outcome),
            title=language.say(f"part_{check.part.value}", host=check.host, port=check.port),
            sentence=language.say(
                sentence_of(check),
                host=check.host,
                port=check.port,
                detail=check.detail,
                offset=language.span(abs(check.offset_s or 0)),
                # As if looked at tomorrow: a clock that is wrong shows its date.
                now=language.clock(report.at_ms, report.at_ms + _DAY_MS),
            ),
        )
        for check in report.checks
    ]


def ways(report: CheckReport) -> list[Way]:
    """What this gateway needs, whether it has it or not."""
    found: dict[Way, None] = {}
    if report.proxy:
        host, _, port = report.proxy.rpartition(":")
        found[Way("proxy", "TCP", host, int(port))] = None
    for check in report.checks:
        match check.part:
            case CheckPart.NAME:
                found[Way("name", "UDP + TCP", "", DNS_PORT)] = None
            case CheckPart.CONTROL | CheckPart.RELAY if not report.proxy:
                found[Way(check.part.value, "TCP", check.host, check.port)] = None
            case CheckPart.STUN:
                found[Way("stun", "UDP", check.host, check.port)] = None
            case _:
                pass
    return list(found)


def sentence_of(check: Check) -> str:
    """Name the sentence of this outcome: some parts fail in a way of their own."""
    match check.part, check.outcome:
        case CheckPart.CLOCK, CheckOutcome.OFF if check.offset_s is None:
            return "check_clock_unknown"
        case CheckPart.CLOCK, CheckOutcome.OFF:
            return "check_clock_ahead" if (check.offset_s or 0) > 0 else "check_clock_behind"
        case _, CheckOutcome.OFF:
            return "check_strange"  # nothing but a clock is off
        case part, CheckOutcome.GOOD:
            return f"check_{part.value}_good"
        case (CheckPart.STUN | CheckPart.NAME) as part, CheckOutcome.SILENT:
            return f"check_{part.value}_silent"
        case _, outcome:
            return f"check_{outcome.value}"


def _verdict(outcome: CheckOutcome) -> str:
    good = {CheckOutcome.GOOD: "good", CheckOutcome.SKIPPED: "skipped"}
    return good.get(outcome, "problem")
