from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controld import store_organisations, store_users
from controld.roles import Role
from controld.server import LINK_PATH
from controld.store_offline import write_once
from controld.store_url import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.controld.callers import Api
    from tests.controld.world import Rig, World


async def test_nothing_is_served_beside_the_routes_and_the_link(world: World) -> None:
    answer = await world.anyone("GET", "/nothing")
    assert (answer.status, answer.code) == (404, "not_found")
    assert LINK_PATH == "/api/v1/link"
    assert (await world.anyone("PUT", "/users")).status == 405


class TestForeignOrganisation:
    """What belongs to another organisation does not exist."""

    @pytest.fixture
    async def foreign(self, data: Path, open_world: Callable[..., Any]) -> Any:  # noqa: ANN401
        password_hash = _hash("one time only")

        def work(tx: Any) -> None:  # noqa: ANN401 -- a transaction
            other = store_organisations.add_organisation(tx, "Plant Two", 1)
            role = Role.ADMINISTRATOR
            store_users.add_user(tx, other, "eve", role, password_hash, 1)

        await write_once(SqliteFile(data / "controld.db"), work)
        async with open_world() as world:
            yield world, await world.anyone.first_login("eve", "one time only")

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
    from tests.controld.world import CHEAP  # noqa: PLC0415

    return CHEAP.hash_now(password)
