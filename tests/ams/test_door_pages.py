"""The way in, as a browser sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from ams.door import password_path
from ams.limits import PER_ADDRESS
from ams.passwords import PasswordFile
from rclib.wire.local import LoginOutcome, RecordLogin, SetAccess
from tests.ams.conftest import PASSWORD, served

if TYPE_CHECKING:
    from pathlib import Path

    from ams.config import AmsConfig
    from tests.ams.conftest import StandInRcd, Visitor


class TestFirstVisit:
    async def test_it_asks_for_a_password_and_has_none_by_default(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        assert "there is no preset password" in await visitor.get("/?lang=en")

    @pytest.mark.parametrize(
        ("password", "repeat", "complaint"),
        [
            ("short", "short", "Too short"),
            ("x" * 300, "x" * 300, "Too long"),
            ("passwort123", "passwort123", "Easy to guess"),
            (PASSWORD, PASSWORD + "x", "different"),
        ],
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
        text = await visitor.post("/password", password=password, repeat=repeat)
        assert visitor.status == 403
        assert complaint in text
        assert "there is no preset password" in await visitor.get()

    async def test_the_password_cannot_be_set_a_second_time(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        await visitor.post(
            "/password", password="another good phrase", repeat="another good phrase"
        )
        await visitor.post("/logout")
        await visitor.post("/login", password=PASSWORD)
        assert visitor.status == 200

    async def test_its_strength_is_told_while_there_is_none_and_never_after(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        assert await visitor.post("/strength", password="passwort123") == "guessable"
        await visitor.enter()
        assert await visitor.post("/strength", password=PASSWORD) == ""
        assert visitor.status == 204


class TestLogin:
    async def test_a_wrong_password_is_refused_and_on_record(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        await visitor.post("/login", password="wrong")
        assert visitor.status == 403
        outcomes = [each.outcome for each in running_rcd.of(RecordLogin)]  # type: ignore[union-attr]
        assert outcomes == [LoginOutcome.PASSWORD_CHANGED, LoginOutcome.FAILED]

    async def test_guessing_is_stopped_and_stays_stopped_after_a_restart(
        self, running_rcd: StandInRcd, visitor: Visitor, config: AmsConfig
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        for _ in range(PER_ADDRESS):
            await visitor.post("/login", password="wrong")
        assert "Too many tries" in await visitor.post("/login", password=PASSWORD)
        async with served(config) as url, aiohttp.ClientSession() as http:
            origin = {"Origin": url, "Accept-Language": "en"}
            data = {"password": PASSWORD}
            async with http.post(f"{url}/login", data=data, headers=origin) as response:
                assert "Too many tries" in await response.text()

    async def test_each_login_gets_ids_nobody_has_seen_before(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        first = visitor.visit_id
        await visitor.post("/logout")
        await visitor.post("/login", {"Cookie": "ams=chosen-by-an-attacker"}, password=PASSWORD)
        assert visitor.visit_id not in {"", "chosen-by-an-attacker", first}

    async def test_logging_out_ends_the_visit(
        self, running_rcd: StandInRcd, visitor: Visitor
    ) -> None:
        await visitor.enter()
        await visitor.post("/logout")
        await visitor.post("/access", mode="on", hours="1")
        assert running_rcd.of(SetAccess) == []

    async def test_resetting_the_password_throws_everybody_out(
        self, running_rcd: StandInRcd, visitor: Visitor, config: AmsConfig, tmp_path: Path
    ) -> None:
        await visitor.enter()
        PasswordFile(password_path(tmp_path / "ams")).remove()
        await visitor.post("/access", mode="on", hours="1")
        assert running_rcd.of(SetAccess) == []

    async def test_the_owner_gets_in_while_rcd_is_away(self, visitor: Visitor) -> None:
        await visitor.enter()
        assert "UNKNOWN" in await visitor.get()
