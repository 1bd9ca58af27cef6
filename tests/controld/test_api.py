from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from controld import store_users
from controld.roles import Action, Role, Scope, scope_of
from controld.server import LINK_PATH, ROUTES
from controld.store_offline import OfflineStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.controld.conftest import Api, Rig, World

NOWHERE = {
    "gateway": "gwy_" + "a" * 16,
    "device": "dev_" + "a" * 16,
    "session": "ses_" + "a" * 16,
    "user": "usr_" + "a" * 16,
}
OPEN_ROUTES = {("POST", "/enrol"), ("POST", "/login")}
SIGNED_IN_ROUTES = {("POST", "/password"), ("POST", "/logout")}
NEEDS = {
    ("GET", "/users"): Action.SEE_USERS,
    ("POST", "/users"): Action.MANAGE_USERS,
    ("POST", "/users/{user}/disable"): Action.MANAGE_USERS,
    ("GET", "/gateways"): Action.SEE_GATEWAYS,
    ("POST", "/gateways"): Action.ADD_GATEWAYS,
    ("POST", "/gateways/{gateway}/enrolment"): Action.ADD_GATEWAYS,
    ("GET", "/gateways/{gateway}/devices"): Action.SEE_GATEWAYS,
    ("POST", "/gateways/{gateway}/devices"): Action.ADD_GATEWAYS,
    ("DELETE", "/gateways/{gateway}/devices/{device}"): Action.ADD_GATEWAYS,
    ("GET", "/clients"): Action.ENROL_CLIENT,
    ("POST", "/clients"): Action.ENROL_CLIENT,
    ("GET", "/sessions"): Action.SEE_SESSIONS,
    ("POST", "/sessions"): Action.PREPARE_SESSIONS,
    ("GET", "/sessions/{session}"): Action.SEE_SESSIONS,
    ("POST", "/sessions/{session}/start"): Action.START_SESSIONS,
    ("POST", "/sessions/{session}/end"): Action.END_SESSIONS,
    ("GET", "/audit"): Action.READ_AUDIT,
}


def test_every_route_is_in_the_table_of_this_test() -> None:
    served = {(route.method, route.path.removeprefix("/api/v1")) for route in ROUTES}
    assert served == OPEN_ROUTES | SIGNED_IN_ROUTES | set(NEEDS)


async def test_nothing_is_served_beside_the_routes_and_the_link(world: World) -> None:
    answer = await world.anyone("GET", "/nothing")
    assert (answer.status, answer.code) == (404, "not_found")
    assert LINK_PATH == "/api/v1/link"
    assert (await world.anyone("PUT", "/users")).status == 405


@pytest.mark.parametrize(("method", "path"), sorted(SIGNED_IN_ROUTES | set(NEEDS)))
async def test_nobody_in_particular_may_do_nothing(world: World, method: str, path: str) -> None:
    answer = await world.anyone(method, path.format(**NOWHERE), {})
    assert (answer.status, answer.code) == (401, "not_signed_in")
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_each_role_gets_as_far_as_the_table_says(world: World) -> None:
    callers = {Role.ADMINISTRATOR: world.admin}
    for role in (Role.RC_ADMINISTRATOR, Role.RC_USER):
        callers[role] = (await world.admin.new_user(role.value, role.value))[1]
    denials = 0
    for (method, path), action in NEEDS.items():
        for role, caller in callers.items():
            answer = await caller(method, path.format(**NOWHERE), {} if method == "POST" else None)
            is_denied = answer.status == 403
            denials += is_denied
            assert is_denied is (scope_of(role, action) is Scope.NONE), (method, path, role)
            if is_denied:
                assert answer.code == "forbidden"
            elif "{" in path:
                assert answer.status in {400, 404}, (method, path, answer)
    assert (await world.actions()).count("permission_denied") == denials > 0


class TestForeignOrganisation:
    """What belongs to another organisation does not exist."""

    @pytest.fixture
    async def foreign(self, data: Path, open_world: Callable[..., Any]) -> Any:  # noqa: ANN401
        password_hash = _hash("one time only")
        with closing(OfflineStore(data / "controld.db")) as store:

            def work(tx: Any) -> None:  # noqa: ANN401 -- a transaction
                other = store_users.add_organisation(tx, "Plant Two", 1)
                role = Role.ADMINISTRATOR
                store_users.add_user(tx, other, "eve", role, password_hash, 1)

            store.write(work)
        async with open_world() as world:
            yield world, await world.anyone.first_login("eve", "one time only")

    async def test_a_foreign_object_answers_like_a_missing_one(
        self, foreign: tuple[World, Api]
    ) -> None:
        world, eve = foreign
        gateway = await world.gateway()
        device = await world.device(gateway)
        session = await world.session(gateway)
        (admin,) = (await world.admin.ok("GET", "/users"))["users"]
        theirs = {
            "gateway": gateway.endpoint,
            "device": device,
            "session": session,
            "user": admin["id"],
        }
        body = {"name": "x", "address": "10.0.0.1", "services": [{"protocol": "tcp", "port": 1}]}
        for method, path in NEEDS:
            if "{" in path:
                sent = body if path.endswith("devices") else {}
                found = await eve(method, path.format(**theirs), sent)
                missing = await eve(method, path.format(**NOWHERE), sent)
                assert (found.status, found.body) == (missing.status, missing.body)
                assert found.status == 404, (method, path)

    async def test_lists_show_only_ones_own(self, foreign: tuple[World, Api]) -> None:
        world, eve = foreign
        gateway = await world.gateway()
        await world.session(gateway)
        assert (await eve.ok("GET", "/gateways"))["gateways"] == []
        assert (await eve.ok("GET", "/sessions"))["sessions"] == []
        assert [user["name"] for user in (await eve.ok("GET", "/users"))["users"]] == ["eve"]
        for record in (await eve.ok("GET", "/audit?limit=1000"))["records"]:
            assert record["actor_name"] in {"eve", ""}

    async def test_a_session_takes_no_foreign_gateway_device_or_user(
        self, foreign: tuple[World, Api]
    ) -> None:
        world, eve = foreign
        gateway = await world.gateway()
        body = {
            "name": "x",
            "gateway": gateway.endpoint,
            "targets": [{"device": await world.device(gateway), "protocol": "tcp", "port": 502}],
        }
        assert (await eve("POST", "/sessions", body)).status == 404
        (eve_user,) = (await eve.ok("GET", "/users"))["users"]
        mixed = body | {"users": [eve_user["id"]]}
        assert (await world.admin("POST", "/sessions", mixed)).status == 404


class TestRequests:
    """What a request may look like."""

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "x", "role": "rc_user", "surprise": 1},
            {"name": "x"},
            {"name": "x", "role": "god"},
            {"name": "", "role": "rc_user"},
            {"name": "a\nb", "role": "rc_user"},
            {"name": " a", "role": "rc_user"},
            {"name": "x" * 81, "role": "rc_user"},
            {"name": 7, "role": "rc_user"},
            [],
        ],
    )
    async def test_a_body_that_does_not_fit_is_400_with_a_reason(
        self,
        world: World,
        body: Any,  # noqa: ANN401
    ) -> None:
        answer = await world.admin("POST", "/users", body)
        assert (answer.status, answer.code) == (400, "bad_request")
        assert answer.body["detail"]
        assert "Traceback" not in answer.body["detail"]

    @pytest.mark.parametrize("sent", [b"", b"{", b"\xff\xfe", b"[" * 60_000, b'{"a":' * 9000])
    async def test_bytes_that_are_no_json_are_400(self, world: World, sent: bytes) -> None:
        url = f"{world.anyone.base}/api/v1/login"
        headers = {"Content-Type": "application/json"}
        async with world.anyone.http.post(url, data=sent, headers=headers) as response:
            assert response.status == 400

    async def test_forms_are_not_read(self, world: World) -> None:
        url = f"{world.anyone.base}/api/v1/login"
        async with world.anyone.http.post(url, data={"name": "admin"}) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (
                400,
                "not_json",
            )

    async def test_a_large_body_is_refused(self, world: World) -> None:
        answer = await world.anyone("POST", "/login", {"name": "x" * 70_000, "password": ""})
        assert (answer.status, answer.code) == (413, "request_entity_too_large")

    @pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=9999", "after=٣"])
    async def test_a_query_out_of_range_is_400(self, world: World, query: str) -> None:
        assert (await world.admin("GET", f"/audit?{query}")).status == 400

    @pytest.mark.parametrize(
        "address",
        ["plc.example", "127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1", ""],  # noqa: S104 -- to be refused
    )
    async def test_a_device_has_the_address_of_one_machine(
        self, world: World, address: str
    ) -> None:
        gateway = await world.gateway()
        body = {"name": "plc", "address": address, "services": [{"protocol": "tcp", "port": 502}]}
        answer = await world.admin("POST", f"/gateways/{gateway.endpoint}/devices", body)
        assert (answer.status, answer.code) == (400, "bad_address")


class TestLogin:
    """Names, passwords and tokens."""

    async def test_a_one_time_password_opens_nothing_but_its_own_change(self, world: World) -> None:
        created = await world.admin.ok("POST", "/users", {"name": "tina", "role": "rc_user"})
        first = await world.anyone.login("tina", created["password"])
        answer = await first("GET", "/sessions")
        assert (answer.status, answer.code) == (403, "password_change_required")
        change = {"old": created["password"], "new": "a sentence nobody guesses"}
        await first.ok("POST", "/password", change)
        assert (await first("GET", "/sessions")).status == 401  # the old token is void
        later = await world.anyone.login("TINA ", "a sentence nobody guesses")
        await later.ok("GET", "/sessions")

    @pytest.mark.parametrize("new", ["short", "admin is my name", "correct horse battery"])
    async def test_a_new_password_has_to_be_fit(self, world: World, new: str) -> None:
        body = {"old": "correct horse battery", "new": new}
        answer = await world.admin("POST", "/password", body)
        assert (answer.status, answer.code) == (400, "password_unfit")

    async def test_unknown_and_known_names_get_the_same_answer(self, world: World) -> None:
        await world.admin.new_user("tina", "rc_user")
        answers = [
            await world.anyone("POST", "/login", {"name": name, "password": "wrong"})
            for name in ("tina", "nobody")
            for _ in range(12)
        ]
        known, unknown = answers[:12], answers[12:]
        assert [a.status for a in known] == [a.status for a in unknown] == [401] * 10 + [429] * 2
        assert [a.body for a in known] == [a.body for a in unknown]
        assert (await world.actions()).count("login_failed") == 10

    async def test_a_locked_account_refuses_the_right_password_and_opens_again(
        self, world: World
    ) -> None:
        right = {"name": "admin", "password": "correct horse battery"}
        for _ in range(10):
            await world.anyone("POST", "/login", right | {"password": "wrong"})
        assert (await world.anyone("POST", "/login", right)).status == 429
        world.clock.advance(601)
        assert (await world.anyone("POST", "/login", right)).status == 200

    async def test_parallel_guesses_cannot_pass_the_limit(self, world: World) -> None:
        wrong = {"name": "admin", "password": "wrong"}
        answers = await asyncio.gather(*(world.anyone("POST", "/login", wrong) for _ in range(30)))
        assert sum(answer.status == 401 for answer in answers) == 10

    async def test_a_token_ends_with_its_time_and_with_logout(self, world: World) -> None:
        other = await world.anyone.login("admin", "correct horse battery")
        await other.ok("POST", "/logout")
        assert (await other("GET", "/users")).status == 401
        world.clock.advance(12 * 3600 + 1)
        assert (await world.admin("GET", "/users")).status == 401

    async def test_a_disabled_user_is_out_at_once(self, world: World) -> None:
        user, tina = await world.admin.new_user("tina", "rc_user")
        await world.admin.ok("POST", f"/users/{user}/disable")
        assert (await tina("GET", "/sessions")).status == 401
        password = {"name": "tina", "password": "correct horse battery"}
        assert (await world.anyone("POST", "/login", password)).status == 401

    async def test_nobody_disables_their_own_account(self, world: World) -> None:
        (admin,) = (await world.admin.ok("GET", "/users"))["users"]
        answer = await world.admin("POST", f"/users/{admin['id']}/disable")
        assert (answer.status, answer.code) == (409, "own_account")


class TestEnrolment:
    """POST /api/v1/enrol."""

    async def test_a_code_works_once(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        code = created["enrolment_code"]
        first, second = _end(world), _end(world)
        await first.enrol(code)
        answer = await world.anyone("POST", "/enrol", second.request(code))
        assert (answer.status, answer.code) == (403, "enrolment_code_invalid")
        assert "enrolment_refused" in await world.actions()
        assert first.endpoint == created["gateway"]

    async def test_a_code_is_typed_in_any_spelling(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        typed = created["enrolment_code"].upper().replace("-", " ")
        assert (await _end(world).enrol(typed)).endpoint == created["gateway"]

    async def test_an_expired_or_made_up_code_is_refused(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        world.clock.advance(24 * 3600 - 1)
        admin = await world.anyone.login("admin", "correct horse battery")
        world.clock.advance(1)
        for code in (created["enrolment_code"], "aaaaa-bbbbb-ccccc"):
            answer = await world.anyone("POST", "/enrol", _end(world).request(code))
            assert (answer.status, answer.code) == (403, "enrolment_code_invalid")
        (gateway,) = (await admin.ok("GET", "/gateways"))["gateways"]
        assert not gateway["enrolled"]

    async def test_a_new_code_voids_the_one_before(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        await world.admin.ok("POST", f"/gateways/{created['gateway']}/enrolment")
        end = _end(world)
        answer = await world.anyone("POST", "/enrol", end.request(created["enrolment_code"]))
        assert answer.status == 403

    async def test_a_request_the_key_did_not_sign_spends_nothing(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        code, end, other = created["enrolment_code"], _end(world), _end(world)
        forged = end.request(code) | {"identity_key": other.request(code)["identity_key"]}
        answer = await world.anyone("POST", "/enrol", forged)
        assert (answer.status, answer.code) == (403, "signature_invalid")
        await end.enrol(code)

    async def test_a_key_that_is_enrolled_elsewhere_is_refused(self, world: World) -> None:
        first = await world.gateway("a")
        created = await world.admin.ok("POST", "/gateways", {"name": "b"})
        code = created["enrolment_code"]
        answer = await world.anyone("POST", "/enrol", first.request(code))
        assert (answer.status, answer.code) == (409, "key_enrolled_elsewhere")
        await _end(world).enrol(code)  # and the code is not lost

    async def test_the_request_cannot_choose_who_it_will_be(self, world: World) -> None:
        created = await world.admin.ok("POST", "/gateways", {"name": "g"})
        body = _end(world).request(created["enrolment_code"]) | {"endpoint": "gwy_" + "a" * 16}
        assert (await world.anyone("POST", "/enrol", body)).status == 400


class TestSessions:
    """Preparing, seeing, starting, ending."""

    async def test_the_link_names_host_port_session_and_ticket(self, rig: Rig) -> None:
        started = await rig.technician.ok("POST", f"/sessions/{rig.session}/start")
        port = rig.world.server.endpoint.port
        prefix = f"remoteconnect://localhost:{port}/connect?session={rig.session}&ticket="
        assert started["link"].startswith(prefix)

    async def test_a_gateway_without_a_link_refuses_the_start(self, world: World) -> None:
        gateway = await world.gateway()
        session = await world.session(gateway)
        answer = await world.admin("POST", f"/sessions/{session}/start")
        assert (answer.status, answer.code) == (409, "gateway_offline")
        assert "session_start_refused" in await world.actions()

    async def test_users_neither_see_nor_start_what_is_not_released_for_them(
        self, rig: Rig
    ) -> None:
        _, otto = await rig.world.admin.new_user("otto", "rc_user")
        assert (await otto("POST", f"/sessions/{rig.session}/start")).status == 404
        assert (await otto("GET", f"/sessions/{rig.session}")).status == 404
        assert (await otto.ok("GET", "/sessions"))["sessions"] == []
        (seen,) = (await rig.technician.ok("GET", "/sessions"))["sessions"]
        assert seen["id"] == rig.session

    async def test_a_user_ends_their_own_session_and_no_other(self, rig: Rig) -> None:
        await rig.world.admin.ok("POST", f"/sessions/{rig.session}/start")
        answer = await rig.technician("POST", f"/sessions/{rig.session}/end")
        assert (answer.status, answer.code) == (403, "not_yours")
        rig.world.clock.advance(61)
        await rig.world.server.sweeper.sweep()
        await rig.ticket()
        await rig.technician.ok("POST", f"/sessions/{rig.session}/end")
        shown = await rig.world.state(rig.session)
        assert (shown["state"], shown["end_reason"]) == ("ended", "technician")
        answer = await rig.technician("POST", f"/sessions/{rig.session}/start")
        assert (answer.status, answer.code) == (409, "session_over")

    async def test_a_target_has_to_be_a_service_of_the_device(self, world: World) -> None:
        gateway = await world.gateway()
        device = await world.device(gateway)
        body = {
            "name": "x",
            "gateway": gateway.endpoint,
            "targets": [{"device": device, "protocol": "tcp", "port": 22}],
        }
        answer = await world.admin("POST", "/sessions", body)
        assert (answer.status, answer.code) == (400, "service_not_offered")

    async def test_a_window_bounds_start_and_end(self, rig: Rig) -> None:
        now = rig.world.clock()
        users = (await rig.world.state(rig.session))["users"]
        rig.session = await rig.world.session(
            rig.gateway,
            *users,
            window_from_ms=now + 60_000,
            window_until_ms=now + 120_000,
        )
        answer = await rig.technician("POST", f"/sessions/{rig.session}/start")
        assert (answer.status, answer.code) == (409, "window_not_open")
        rig.world.clock.advance(61)
        offer, _ = await rig.granted()
        assert offer.not_after_ms == now + 120_000


async def test_the_record_is_read_in_pages(world: World) -> None:
    everything = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
    read, after = [], 0
    while page := await world.admin.ok("GET", f"/audit?after={after}&limit=2"):
        if not page["records"]:
            break
        read += page["records"]
        after = page["next_after"]
    assert read == everything
    assert [record["action"] for record in read[:3]] == [
        "controld_initialised",
        "user_created",
        "login_succeeded",
    ]


async def test_a_store_that_is_full_answers_503_and_starts_nothing(rig: Rig) -> None:
    store = rig.world.server.services.store

    def limit(pages: str) -> Callable[[Any], None]:
        return lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}").close()

    await store.write(limit("1"))  # SQLite takes this as: no page more than now
    failed = None
    for number in range(200):
        body = {"name": f"gateway {number}"}
        failed = await rig.world.admin("POST", "/gateways", body)
        if failed.status != 201:
            break
    assert failed is not None
    assert (failed.status, failed.code) == (503, "store_unavailable")
    await store.write(limit("1000000"))
    await rig.granted()


def _hash(password: str) -> str:
    from tests.controld.conftest import CHEAP  # noqa: PLC0415

    return CHEAP.hash_now(password)


def _end(world: World) -> Any:  # noqa: ANN401
    from tests.controld.conftest import End  # noqa: PLC0415

    return End(world.anyone)
