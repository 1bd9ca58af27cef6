"""The page as a browser sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from ams.limits import PER_ADDRESS
from rclib.wire.access import AccessMode
from rclib.wire.gate import LIFETIME_S
from rclib.wire.ids import DeviceId, SessionId
from rclib.wire.local import EndSession, RecordLogin, SessionStatus, SetAccess
from rclib.wire.session import PathKind, Protocol, Target
from tests.ams.conftest import PASSWORD, served

if TYPE_CHECKING:
    from ams.config import AmsConfig
    from tests.ams.conftest import StandInRcd, Visitor

SESSION = SessionId("ses_" + "a" * 16)


def with_session(user: str = "tina") -> SessionStatus:
    target = Target(DeviceId("dev_" + "a" * 16), "PLC", "192.168.1.10", Protocol.TCP, 502)
    return SessionStatus(
        session=SESSION,
        name="Line 3",
        user=user,
        organisation="Builder",
        reason="fault 17",
        targets=(target,),
        path=PathKind.RELAY,
        since_ms=1,
        lease_remaining_s=500,
        remaining_s=7000,
        received_bytes=12_000,
        sent_bytes=900,
    )


class TestFirstVisit:
    async def test_it_asks_for_a_password_and_has_none_by_default(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        _, text = await visitor.get("/?lang=en")
        assert "There is no default password" in text

    @pytest.mark.parametrize(
        ("password", "repeat", "complaint"),
        [("short", "short", "Too short"), (PASSWORD, PASSWORD + "x", "different")],
    )
    async def test_a_poor_or_mistyped_password_is_not_taken(
        self,
        running_rcd: StandInRcd,
        visitor: Visitor,
        password: str,
        repeat: str,
        complaint: str,
    ) -> None:
        await visitor.get("/?lang=en")
        status, text = await visitor.post("/password", password=password, repeat=repeat)
        assert status == 403
        assert complaint in text

    async def test_the_password_cannot_be_set_a_second_time(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        status, _ = await visitor.post("/password", password="x" * 20, repeat="x" * 20)
        assert status == 403


class TestSwitch:
    async def test_on_for_hours_reaches_rcd_with_who_pressed(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        _, text = await visitor.post("/access", mode="on", hours="4")
        (asked,) = running_rcd.of(SetAccess)
        assert isinstance(asked, SetAccess)
        assert (asked.mode, asked.duration_s) == (AccessMode.ON_UNTIL, 4 * 3600)
        assert "127.0.0.1" in asked.by
        assert "ON" in text

    async def test_off_needs_one_tap(self, running_rcd: StandInRcd, visitor: Visitor) -> None:
        await visitor.enter()
        await visitor.post("/access", mode="on", hours="0")
        _, text = await visitor.get()
        assert 'value="off"' in text
        await visitor.post("/access", mode="off")
        assert running_rcd.status.access is AccessMode.OFF

    @pytest.mark.parametrize("hours", ["-1", "999", "x", ""])
    async def test_nonsense_switches_nothing(
        self, running_rcd: StandInRcd, visitor: Visitor, hours: str
    ) -> None:
        await visitor.enter()
        status, _ = await visitor.post("/access", mode="on", hours=hours)
        assert status == 400
        assert running_rcd.of(SetAccess) == []

    async def test_what_rcd_refuses_is_said_and_not_shown_as_done(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        running_rcd.fault = "the disk is full"
        _, text = await visitor.post("/access", mode="on", hours="1")
        assert "Not done: the disk is full" in text
        assert 'class="state off"' in text

    async def test_without_rcd_the_state_is_unknown_and_never_off(self, visitor: Visitor) -> None:
        await visitor.enter()
        status, text = await visitor.get("/?lang=en")
        assert status == 503
        assert "UNKNOWN" in text
        assert f"within {LIFETIME_S} seconds" in text

    async def test_reading_the_page_changes_nothing(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        for path in ("/", "/confirm?hours=4", "/access", "/end", "/enrol"):
            await visitor.get(path)
        assert running_rcd.of(SetAccess) + running_rcd.of(EndSession) == []


class TestSessions:
    async def test_who_is_connected_is_shown_and_can_be_ended(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        running_rcd.status = msgspec.structs.replace(
            running_rcd.status, is_on=True, access=AccessMode.ON, sessions=(with_session(),)
        )
        await visitor.enter()
        _, text = await visitor.get()
        for shown in ("tina", "Builder", "fault 17", "PLC 192.168.1.10 tcp/502", "by relay"):
            assert shown in text
        await visitor.post("/end", session=SESSION)
        assert len(running_rcd.of(EndSession)) == 1

    async def test_a_name_cannot_bring_markup(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        evil = "<script>alert(1)</script>"
        running_rcd.status = msgspec.structs.replace(
            running_rcd.status, is_on=True, sessions=(with_session(evil),)
        )
        await visitor.enter()
        _, text = await visitor.get()
        assert evil not in text
        assert "&lt;script&gt;" in text


class TestDoor:
    async def test_a_wrong_password_is_refused_and_on_record(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        status, _ = await visitor.post("/login", password="wrong")
        assert status == 403
        outcomes = [r.outcome.value for r in running_rcd.of(RecordLogin)]  # type: ignore[union-attr]
        assert outcomes == ["password_changed", "failed"]

    async def test_guessing_is_stopped_and_stays_stopped_after_a_restart(
        self, running_rcd: StandInRcd, visitor: Visitor, config: AmsConfig
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        for _ in range(PER_ADDRESS):
            await visitor.post("/login", password="wrong")
        _, text = await visitor.post("/login", password=PASSWORD)
        assert "Too many tries" in text
        async with served(config) as url, aiohttp.ClientSession() as http:
            origin = {"Origin": url, "Accept-Language": "en"}
            data = {"password": PASSWORD}
            async with http.post(f"{url}/login", data=data, headers=origin) as response:
                assert "Too many tries" in await response.text()

    async def test_logging_out_ends_the_visit(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        await visitor.post("/access", mode="on", hours="1")
        assert running_rcd.of(SetAccess) == []


class TestForeign:
    @pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
    async def test_a_form_from_elsewhere_is_refused(
        self, running_rcd: StandInRcd, visitor: Visitor, origin: str
    ) -> None:
        await visitor.enter()
        status, _ = await visitor.post("/access", {"Origin": origin}, mode="on", hours="1")
        assert status == 403
        assert running_rcd.of(SetAccess) == []

    async def test_a_form_without_its_token_is_refused(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        visitor.csrf = "guessed"
        status, _ = await visitor.post("/access", mode="on", hours="1")
        assert status == 403
        assert running_rcd.of(SetAccess) == []

    async def test_a_foreign_host_name_is_refused(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        status, _ = await visitor.get("/", Host="evil.example")
        assert status == 403

    async def test_a_large_body_is_refused(self, running_rcd: StandInRcd, visitor: Visitor) -> None:
        await visitor.enter()
        status, _ = await visitor.post("/access", mode="on", hours="1", pad="x" * 20_000)
        assert status == 413

    async def test_every_answer_carries_the_headers(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        async with visitor.http.get(visitor.url) as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Cache-Control"] == "no-store"
