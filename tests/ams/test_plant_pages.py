"""The plant's view and its switch, as a browser sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from rclib.wire.access import AccessMode
from rclib.wire.local import EndSession, Enrol, GateState, SetAccess
from tests.ams.conftest import SESSION, a_session, on

if TYPE_CHECKING:
    from tests.ams.conftest import StandInRcd, Visitor


class TestSwitch:
    async def test_on_for_hours_reaches_rcd_with_who_pressed(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        assert "For 4 h" in await visitor.get("/confirm/on?hours=4")
        text = await visitor.post("/access", mode="on", hours="4")
        (asked,) = running_rcd.of(SetAccess)
        assert isinstance(asked, SetAccess)
        assert (asked.mode, asked.duration_s) == (AccessMode.ON_UNTIL, 4 * 3600)
        assert "127.0.0.1" in asked.by
        assert "ON until" in text

    async def test_off_needs_one_tap(self, running_rcd: StandInRcd, visitor: Visitor) -> None:
        running_rcd.status = on()
        await visitor.enter()
        assert 'value="off"' in await visitor.get()
        text = await visitor.post("/access", mode="off")
        assert running_rcd.status.access is AccessMode.OFF
        assert "All connections have ended" in text

    @pytest.mark.parametrize("hours", ["-1", "999", "x", "", "٤", "1" * 5000])
    async def test_nonsense_switches_nothing(
        self, running_rcd: StandInRcd, visitor: Visitor, hours: str
    ) -> None:
        await visitor.enter()
        await visitor.post("/access", mode="on", hours=hours)
        assert visitor.status == 400
        await visitor.post("/access", mode="sideways", hours="1")
        assert visitor.status == 400
        assert running_rcd.of(SetAccess) == []

    async def test_what_rcd_refuses_is_said_and_not_shown_as_done(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        running_rcd.fault = "the disk is full"
        text = await visitor.post("/access", mode="on", hours="1")
        assert "cannot store it: the disk is full" in text
        assert 'class="state off"' in text

    async def test_what_rcd_confirms_and_does_not_show_is_no_success(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        running_rcd.status = on()
        await visitor.enter()
        running_rcd.is_deaf = True
        text = await visitor.post("/access", mode="off")
        assert "not what was asked for" in text
        assert 'class="state on"' in text

    async def test_without_rcd_the_state_is_unknown_and_says_by_when_it_is_closed(
        self, visitor: Visitor
    ) -> None:
        await visitor.enter()
        text = await visitor.get("/?lang=en")
        assert visitor.status == 503
        assert "UNKNOWN" in text
        assert "the kernel closes all connections by itself, at " in text

    async def test_without_the_gate_the_page_says_so(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        running_rcd.status = on(gate=GateState.UNREACHABLE)
        await visitor.enter()
        assert "The gate (firewall and tunnels) does not answer" in await visitor.get()

    async def test_reading_the_page_changes_nothing(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        for path in ("/", "/confirm/on?hours=4", "/access", "/end", "/enrol", "/state"):
            await visitor.get(path)
        assert running_rcd.of(SetAccess) + running_rcd.of(EndSession) == []


class TestSessions:
    async def test_who_is_connected_is_shown_and_can_be_ended(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        running_rcd.status = on(sessions=(a_session(),))
        await visitor.enter()
        text = await visitor.get()
        for shown in (
            "tina",
            "Builder",
            "fault 17",
            "192.168.1.10",
            "tcp/502",
            "by relay",
            "RTT 14.2 ms · MTU 1280 · relay eu1 (eu-west)",
            "3 packets to",
        ):
            assert shown in text
        assert "RTT 14,2 ms" in await visitor.get("/?lang=de")
        await visitor.get("/?lang=en")
        assert "loses access at once" in await visitor.get(f"/confirm/end?session={SESSION}")
        assert "The connection has ended" in await visitor.post("/end", session=SESSION)
        assert len(running_rcd.of(EndSession)) == 1

    async def test_ending_one_that_has_gone_says_so(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        running_rcd.status = on()
        await visitor.enter()
        assert "no longer exists" in await visitor.get(f"/confirm/end?session={SESSION}")
        await visitor.get("/confirm/end?session=rubbish")
        assert visitor.status == 400

    async def test_a_name_cannot_bring_markup(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        evil = "<script>alert(1)</script>"
        running_rcd.status = on(sessions=(a_session(evil),))
        await visitor.enter()
        text = await visitor.get()
        assert evil not in text
        assert "&lt;script&gt;" in text


class TestEnrolment:
    async def test_the_code_reaches_rcd(self, running_rcd: StandInRcd, visitor: Visitor) -> None:
        await visitor.enter()
        await visitor.post("/enrol", server=" https://cloud.example ", code=" ABCD-EFGH-1234 ")
        (asked,) = running_rcd.of(Enrol)
        assert isinstance(asked, Enrol)
        assert (asked.server, asked.code) == ("https://cloud.example", "ABCD-EFGH-1234")

    async def test_an_impossible_code_is_refused_here(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        text = await visitor.post("/enrol", server="https://cloud.example", code="short")
        assert "the entries do not fit" in text
        assert running_rcd.of(Enrol) == []


class TestLive:
    async def test_a_change_is_announced_and_the_part_that_changes_can_be_read(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        async with asyncio.timeout(20), visitor.http.get(visitor.url + "/live") as stream:
            assert stream.content_type == "text/event-stream"
            first = await stream.content.readuntil(b"\n\n")
            running_rcd.status = on()
            second = await stream.content.readuntil(b"\n\n")
            while second == b":\n\n":
                second = await stream.content.readuntil(b"\n\n")
        assert (first, second) == (b"event: changed\ndata:\n\n",) * 2
        text = await visitor.get("/state")
        assert 'class="state on"' in text
        assert "<html" not in text

    async def test_strangers_get_neither(self, running_rcd: StandInRcd, visitor: Visitor) -> None:
        await visitor.get("/state")
        assert visitor.status == 403
        await visitor.get("/live")
        assert visitor.status == 204
