"""The portal as a browser sees it, on a real controld."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from controld.api import Open
from controld.server import PAGES
from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.test_session_releases import set_policy

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import Rig, World


class TestWayIn:
    async def test_strangers_are_led_to_the_login_from_every_page(self, visitor: Visitor) -> None:
        for page in PAGES:
            if page.method == "GET" and page.needs is not Open.ANYONE:
                path = re.sub(r"\{\w+\}", "x", page.path)
                await visitor.get(path)
                assert visitor.at == "/login", path

    async def test_a_wrong_password_says_so_and_gives_no_cookie(self, visitor: Visitor) -> None:
        text = await visitor.login("admin", "wrong")
        assert "name or the password is wrong" in text
        assert visitor.status == 403
        assert visitor.cookie == ""

    async def test_the_owner_hears_how_often_somebody_else_failed(
        self, world: World, visitor: Visitor
    ) -> None:
        for _ in range(3):
            await world.anyone("POST", "/login", {"name": "admin", "password": "wrong"})
        text = await visitor.login("admin", ADMIN_PASSWORD)
        assert "somebody failed 3 times" in text
        assert visitor.cookie
        await visitor.get("/users")
        assert (visitor.status, visitor.at) == (200, "/users")
        await visitor.post("/logout")
        await visitor.login("admin", ADMIN_PASSWORD)
        assert visitor.at == "/"  # said once

    async def test_a_one_time_password_leads_to_setting_ones_own(
        self, world: World, visitor: Visitor
    ) -> None:
        created = await world.admin.ok("POST", "/users", {"name": "tina", "role": "rc_user"})
        text = await visitor.login("tina", created["password"])
        assert visitor.at == "/password"
        assert "works only once" in text
        await visitor.get("/")
        assert visitor.at == "/password"
        own = [("old", created["password"]), ("new", "correct horse battery 2")]
        await visitor.post("/password", [*own, ("repeat", "different")])
        assert visitor.status == 400
        await visitor.post("/password", [*own, ("repeat", "correct horse battery 2")])
        assert (visitor.status, visitor.at) == (200, "/")

    async def test_logging_out_voids_the_cookie(self, admin: Visitor) -> None:
        old = admin.cookie
        await admin.post("/logout")
        assert admin.at == "/login"
        await admin.get("/", Cookie=f"__Host-portal={old}")
        assert admin.at == "/login"


class TestHeaders:
    async def test_every_answer_carries_the_headers(self, admin: Visitor) -> None:
        for path in ("/", "/login", "/users", "/sessions/x", "/static/portal.css"):
            await admin.get(path)
            assert admin.headers["Content-Security-Policy"].startswith("default-src 'self'"), path
            assert admin.headers["X-Frame-Options"] == "DENY"


class TestGateways:
    async def test_adding_one_shows_its_code_once_and_then_its_state(
        self, world: World, admin: Visitor
    ) -> None:
        assert "No gateway yet" in await admin.get("/")
        text = await admin.post("/gateways", [("name", "press <1>")])
        assert "One-time code" in text
        listed = await world.admin.ok("GET", "/gateways")
        (gateway,) = listed["gateways"]
        text = await admin.get("/")
        assert "press &lt;1&gt;" in text
        assert "not enrolled yet" in text
        assert "press &lt;1&gt;" in await admin.get(f"/gateways/{gateway['id']}")

    async def test_a_machine_is_added_with_services_by_name(
        self, world: World, admin: Visitor
    ) -> None:
        await admin.post("/gateways", [("name", "press 1")])
        (gateway,) = (await world.admin.ok("GET", "/gateways"))["gateways"]
        page = f"/gateways/{gateway['id']}"
        machine = [("name", "PLC"), ("address", "192.168.1.10")]
        presets = [("preset", "s7"), ("preset", "modbus"), ("protocol", "udp"), ("port", "5000")]
        text = await admin.post(f"{page}/devices", [*machine, *presets])
        assert admin.at == page
        assert "S7 (ISO-TSAP), Modbus TCP, udp/5000" in text
        await admin.post(f"{page}/devices", machine)
        assert admin.status == 400
        await admin.post(f"{page}/devices", [*machine, ("preset", "nonsense")])
        assert admin.status == 400
        (device,) = (await world.admin.ok("GET", f"{page}/devices"))["devices"]
        text = await admin.post(f"{page}/devices/{device['id']}/remove")
        assert "No machine yet" in text

    async def test_one_that_is_not_ours_is_not_there(self, admin: Visitor) -> None:
        await admin.get("/gateways/gwy_aaaaaaaaaaaaaaaa")
        assert admin.status == 404


class TestSessions:
    async def test_one_is_prepared_on_one_page(
        self, world: World, rig: Rig, admin: Visitor
    ) -> None:
        gateway = rig.gateway.endpoint
        (device, *_) = (await world.admin.ok("GET", f"/gateways/{gateway}/devices"))["devices"]
        text = await admin.get(f"/prepare/{gateway}")
        assert "Exactly these services become reachable" in text
        wanted = [
            ("name", "line 3"),
            ("target", f"{device['id']} tcp 502"),
            ("duration_s", "28800"),
            ("reason", "fault 17"),
            ("until", "2099-01-01T10:00"),
            ("zone", "Europe/Berlin"),
        ]
        text = await admin.post(f"/prepare/{gateway}", wanted)
        assert admin.at.startswith("/sessions/ses_")
        for shown in ("line 3", "Modbus TCP", "fault 17", "prepared", "administrators only"):
            assert shown in text
        assert "line 3" in await admin.get("/sessions")

    async def test_the_list_is_narrowed_and_paged(
        self, world: World, rig: Rig, admin: Visitor
    ) -> None:
        other = await world.gateway("press 2")
        elsewhere = await world.session(other, name="elsewhere")
        text = await admin.get(f"/sessions?gateway={other.endpoint}")
        assert elsewhere in text
        assert rig.session not in text
        user = (await world.state(rig.session))["users"][0]
        text = await admin.get(f"/sessions?user={user}")
        assert rig.session in text
        assert elsewhere not in text
        await admin.post(f"/sessions/{elsewhere}/end")
        assert elsewhere not in await admin.get("/sessions")
        assert elsewhere in await admin.get("/sessions?show=past")
        assert "No session matches" in await admin.get(f"/sessions?show=past&user={user}")
        await admin.get("/sessions?show=nonsense")
        assert admin.status == 400

    @pytest.mark.parametrize(
        "change",
        [
            ("duration_s", "9999999"),
            ("duration_s", "x"),
            ("until", "never"),
            ("zone", "Nowhere/Land"),
            ("zone", "../../etc/passwd"),
        ],
    )
    async def test_a_plan_that_makes_no_sense_is_refused(
        self, world: World, rig: Rig, admin: Visitor, change: tuple[str, str]
    ) -> None:
        before = len((await world.admin.ok("GET", "/sessions"))["sessions"])
        fields = {"name": "x", "duration_s": "14400", "until": "2099-01-01T10:00", "zone": "UTC"}
        fields[change[0]] = change[1]
        await admin.post(f"/prepare/{rig.gateway.endpoint}", list(fields.items()))
        assert admin.status == 400
        assert len((await world.admin.ok("GET", "/sessions"))["sessions"]) == before

    async def test_start_hands_over_to_the_client_and_end_ends(
        self, rig: Rig, admin: Visitor
    ) -> None:
        text = await admin.post(f"/sessions/{rig.session}/start")
        assert 'href="remoteconnect://' in text
        assert "Waiting for your computer" in text
        assert 'href="/client"' in text
        assert "Set remoteconnect up" in await admin.get("/client")
        text = await admin.post(f"/sessions/{rig.session}/end")
        assert "ended" in text
        assert f"/sessions/{rig.session}/start" not in text

    async def test_a_plant_that_wants_a_reason_is_given_one_at_the_start(
        self, world: World, rig: Rig, admin: Visitor
    ) -> None:
        await set_policy(rig, reason="required")
        text = await admin.post(f"/sessions/{rig.session}/start")
        assert admin.status == 409
        assert "This plant wants to know why" in text
        assert 'name="reason"' in text
        text = await admin.post(f"/sessions/{rig.session}/start", [("reason", "fault 17")])
        assert 'href="remoteconnect://' in text
        assert (await world.state(rig.session))["reason"] == "fault 17"

    async def test_start_says_what_keeps_it_from_starting(self, rig: Rig, admin: Visitor) -> None:
        await rig.gateway.hang_up()
        text = await admin.post(f"/sessions/{rig.session}/start")
        while 'href="remoteconnect://' in text:  # controld has not noticed yet
            text = await admin.post(f"/sessions/{rig.session}/start")
        assert admin.status == 409
        assert "Only the plant can switch it on" in text


class TestRelease:
    async def test_start_asks_for_the_second_person_and_goes_on_after_the_release(
        self, world: World, rig: Rig, admin: Visitor
    ) -> None:
        await set_policy(rig, release="four_eyes")
        page = f"/sessions/{rig.session}"
        async with admin.stranger() as tina:
            await tina.login("tina", ADMIN_PASSWORD)
            text = await tina.post(f"{page}/start")
            assert (tina.at, tina.status) == (page, 200)
            assert "release requested" in text
            assert f"{page}/release" not in text, "tina asked for it herself"
            assert f"{page}/release" in await admin.get(page)
            assert "released" in await admin.post(f"{page}/release")
            assert f"{page}/start" in await tina.get(page)
            assert 'href="remoteconnect://' in await tina.post(f"{page}/start")
        assert (await world.actions()).count("session_released") == 1

    async def test_who_asked_cannot_release_by_the_page_either(
        self, rig: Rig, admin: Visitor
    ) -> None:
        await set_policy(rig, release="four_eyes")
        page = f"/sessions/{rig.session}"
        await admin.post(f"{page}/start")
        await admin.post(f"{page}/release")
        assert admin.status == 403

    async def test_a_refused_session_is_over(self, rig: Rig, admin: Visitor) -> None:
        await set_policy(rig, release="four_eyes")
        await rig.technician.ok("POST", f"/sessions/{rig.session}/request")
        assert "refused" in await admin.post(f"/sessions/{rig.session}/refuse")


class TestPeople:
    async def test_a_user_is_added_with_a_password_that_is_shown_once(self, admin: Visitor) -> None:
        text = await admin.post("/users", [("name", "otto"), ("role", "rc_administrator")])
        assert "One-time password for otto" in text
        text = await admin.get("/users")
        assert "remoteConnect Administrator" in text
        assert "One-time password" not in text

    async def test_a_plain_user_sees_neither_users_nor_the_record(
        self, rig: Rig, visitor: Visitor
    ) -> None:
        text = await visitor.login("tina", ADMIN_PASSWORD)
        assert "Sessions" in text
        assert 'href="/users"' not in text
        for path in ("/users", "/record", f"/gateways/{rig.gateway.endpoint}", "/prepare"):
            await visitor.get(path)
            assert visitor.status == 403, path

    async def test_a_computer_is_enrolled_by_a_code(self, admin: Visitor) -> None:
        text = await admin.post("/computers", [("name", "laptop")])
        assert "rcc enroll https://localhost " in text
