from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from rclib.wire.ids import EndpointId
from rclib.wire.local import (
    Check,
    CheckConnection,
    CheckOutcome,
    CheckPart,
    CheckReport,
    Failed,
    RequestError,
)
from tests.ams.conftest import on

if TYPE_CHECKING:
    from tests.ams.conftest import StandInRcd, Visitor

REPORT: Final = CheckReport(
    "https://control.example",
    1_700_000_000_000,
    (
        Check(CheckPart.NAME, "control.example", 53, CheckOutcome.GOOD, "203.0.113.10"),
        Check(CheckPart.CONTROL, "control.example", 443, CheckOutcome.GOOD),
        Check(CheckPart.CLOCK, "", 0, CheckOutcome.OFF, offset_s=-7300.0),
        Check(CheckPart.NAME, "relay1.example", 53, CheckOutcome.GOOD, "203.0.113.10"),
        Check(CheckPart.NAME, "stun1.example", 53, CheckOutcome.GOOD, "203.0.113.10"),
        Check(CheckPart.RELAY, "relay1.example", 8443, CheckOutcome.GOOD),
        Check(CheckPart.STUN, "stun1.example", 3478, CheckOutcome.SILENT, "no answer within 3 s"),
    ),
)
ENROLLED: Final = EndpointId("gwy_" + "a" * 16)


async def test_looking_at_the_page_sends_nothing(running_rcd: StandInRcd, visitor: Visitor) -> None:
    await visitor.enter()
    text = await visitor.get("/check")
    assert "Remote access is OFF" in text, "and what the check does about it"
    assert running_rcd.of(CheckConnection) == []


async def test_a_check_shows_what_works_and_what_the_firewall_has_to_let_out(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    running_rcd.report = REPORT
    await visitor.enter()
    await visitor.get("/check")
    text = await visitor.post("/check", server="https://control.example")
    asked = running_rcd.of(CheckConnection)
    assert [each.server for each in asked] == ["https://control.example"]  # type: ignore[union-attr]
    assert "2 things do not work" in text
    assert "Allow outgoing UDP 3478 from this gateway to stun1.example" in text
    assert "clock is 2 h 2 min slow" in text
    assert "Outgoing only" in text
    assert "<strong>TCP</strong> to relay1.example, port 8443" in text
    await visitor.get("/check")
    assert len(running_rcd.of(CheckConnection)) == 1, "reloading repeats nothing"


async def test_an_enrolled_gateway_is_not_asked_for_an_address(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    running_rcd.status = on(endpoint=ENROLLED)
    running_rcd.report = REPORT
    await visitor.enter()
    text = await visitor.get("/check")
    assert 'name="server"' not in text
    assert "Remote access is OFF" not in text
    await visitor.post("/check")
    assert running_rcd.of(CheckConnection)[0].server is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RequestError.TOO_SOON, "The next one is possible in 7 s"),
        (RequestError.NOT_ENROLLED, "Not checked: 7 s"),
        (RequestError.STORAGE, "cannot store it"),
    ],
)
async def test_a_check_that_was_not_made_says_why(
    running_rcd: StandInRcd, visitor: Visitor, error: RequestError, said: str
) -> None:
    running_rcd.report = Failed(error, "7 s")
    await visitor.enter()
    assert said in await visitor.post("/check", server="https://control.example")


async def test_without_rcd_the_page_says_so(visitor: Visitor) -> None:
    await visitor.enter()
    assert "without it nothing can be checked" in await visitor.get("/check")
    assert "the check has no result" in await visitor.post("/check", server="https://a.example")


async def test_only_who_has_shown_the_password_has_it_checked(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    running_rcd.report = REPORT
    await visitor.get("/check")
    await visitor.post("/check", server="https://control.example")
    await visitor.enter()
    await visitor.post("/check", server="https://control.example", csrf="other")
    assert visitor.status == 403
    assert running_rcd.of(CheckConnection) == []
