"""T6: every route of the running app, every caller, own, foreign and missing objects.

The table is by hand: `-` not allowed, `o` only what is theirs, `a` all of the organisation's.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from controld import store_organisations, store_users
from controld.api import Open
from controld.portal.frame import LOGIN_PATH
from controld.roles import Role
from controld.server import LINK_PATH, PAGES, ROUTES
from controld.store_offline import write_offline
from controld.store_url import SqliteFile
from tests.controld.callers import ADMIN_PASSWORD, End
from tests.controld.world import CHEAP, Clock, running_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.controld.callers import Api
    from tests.controld.world import World

MISSING = {
    "gateway": "gwy_" + "a" * 16,
    "device": "dev_" + "a" * 16,
    "session": "ses_" + "a" * 16,
    "user": "usr_" + "a" * 16,
    "token": "tok_" + "a" * 16,
    "organisation": "org_" + "a" * 16,
    "provider": "none",
}
# route: (administrator, remoteConnect Administrator, remoteConnect User, Auditor)
MATRIX = {
    "GET /users": "aa--",
    "POST /users": "a---",
    "GET /users/{user}": "aa--",
    "PUT /users/{user}": "a---",
    "POST /users/{user}/disable": "a---",
    "GET /users/{user}/providers": "a---",
    "DELETE /users/{user}/providers/{provider}": "a---",
    "GET /organisations": "a---",
    "POST /organisations": "a---",
    "GET /organisations/{organisation}": "a---",
    "PUT /organisations/{organisation}": "a---",
    "GET /gateways": "aa--",
    "POST /gateways": "a---",
    "POST /gateways/{gateway}/enrolment": "a---",
    "GET /gateways/{gateway}/policy": "aa--",
    "PUT /gateways/{gateway}/policy": "a---",
    "GET /gateways/{gateway}/devices": "aa--",
    "POST /gateways/{gateway}/devices": "a---",
    "DELETE /gateways/{gateway}/devices/{device}": "a---",
    "GET /clients": "ooo-",
    "POST /clients": "ooo-",
    "GET /sessions": "aaoa",
    "POST /sessions": "aa--",
    "GET /sessions/{session}": "aaoa",
    "PUT /sessions/{session}": "aa--",
    "POST /sessions/{session}/request": "aao-",
    "POST /sessions/{session}/release": "aa--",
    "POST /sessions/{session}/refuse": "aa--",
    "POST /sessions/{session}/start": "aao-",
    "POST /sessions/{session}/end": "aao-",
    "GET /events": "aaoa",
    "GET /sessions/{session}/record": "a--a",
    "GET /sessions/{session}/report": "a--a",
    "GET /sessions/{session}/flows": "a--a",
    "GET /gateways/{gateway}/flows": "a--a",
    "GET /audit": "a--a",
    "GET /audit/latest": "a--a",
    "GET /audit/chain": "a--a",
    "POST /audit/verify": "a--a",
    "GET /audit/export": "a--a",
}
ANYONE = {
    "POST /enrol",
    "POST /login",
    "POST /login/passkey",
    "POST /login/passkey/options",
    "GET /openapi.json",
    "GET /servers",
}
SIGNED_IN = {
    "POST /password",
    "POST /logout",
    "GET /tokens",
    "POST /tokens",
    "DELETE /tokens/{token}",
    "GET /account/factors",
    "POST /account/totp",
    "POST /account/totp/confirm",
    "POST /account/totp/remove",
    "GET /account/passkeys",
    "POST /account/passkeys",
    "POST /account/passkeys/options",
    "POST /account/passkeys/{passkey}/remove",
    "GET /account/providers",
    "POST /account/providers/{provider}/remove",
}
OPERATORS = {"GET /organisations/{organisation}", "PUT /organisations/{organisation}"}
"""Reach other organisations, for the operator's administrators."""
ROLES = (Role.ADMINISTRATOR, Role.RC_ADMINISTRATOR, Role.RC_USER, Role.AUDITOR)
PLAN: dict[str, Any] = {
    "name": "x",
    "targets": [{"device": MISSING["device"], "protocol": "tcp", "port": 502}],
    "users": [],
    "duration_s": 60,
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /users": {"name": "new", "role": "rc_user"},
    "PUT /users/{user}": {"role": "auditor"},
    "POST /organisations": {"name": "new", "administrator": "newcomer"},
    "PUT /organisations/{organisation}": {"name": "renamed"},
    "POST /gateways": {"name": "new"},
    "PUT /gateways/{gateway}/policy": {
        "release": "open",
        "reason": "off",
        "max_sessions": 1,
        "max_duration_s": 60,
        "idle_timeout_s": 0,
        "time_zone": "UTC",
        "windows": [],
    },
    "POST /gateways/{gateway}/devices": {
        "name": "new",
        "address": "10.0.0.1",
        "services": [{"protocol": "tcp", "port": 1}],
    },
    "POST /clients": {"name": "new"},
    "POST /sessions": PLAN | {"gateway": MISSING["gateway"]},
    "PUT /sessions/{session}": PLAN,
    "POST /tokens": {"name": "new", "scopes": ["see_sessions"], "days": 1},
}
IF_MATCH = {"If-Match": '"1"'}


@dataclass
class Tenant:
    """One organisation: what its users are called, and its objects."""

    names: dict[Role, str]
    objects: dict[str, str]
    callers: dict[Role, Api] = field(default_factory=dict)

    async def logged_in(self, world: World) -> Tenant:
        """With everybody as a caller of this world, which serves its data."""
        login = world.anyone.login
        callers = {role: await login(name, ADMIN_PASSWORD) for role, name in self.names.items()}
        return replace(self, callers=callers)


async def found(world: World, admin: Api, administrator: str, name: str) -> Tenant:
    names = {Role.ADMINISTRATOR: administrator} | {r: f"{r.value} {name}" for r in ROLES[1:]}
    users = {role: (await admin.new_user(names[role], role.value))[0] for role in ROLES[1:]}
    made = await admin.ok("POST", "/gateways", {"name": "press"})
    gateway = str((await End(world.anyone).enrol(made["enrolment_code"])).endpoint)
    at = f"/gateways/{gateway}"
    device = await admin.ok("POST", f"{at}/devices", BODIES["POST /gateways/{gateway}/devices"])
    target = {"device": device["id"], "protocol": "tcp", "port": 1}
    plan = PLAN | {"gateway": gateway, "targets": [target], "users": [users[Role.RC_USER]]}
    session = await admin.ok("POST", "/sessions", plan)
    token = await admin.ok("POST", "/tokens", BODIES["POST /tokens"])
    (organisation,) = [
        each["id"]
        for each in (await admin.ok("GET", "/organisations"))["organisations"]
        if each["name"] == f"Plant {name.title()}"
    ]
    objects = {
        "organisation": organisation,
        "provider": "none",
        "gateway": gateway,
        "device": device["id"],
        "session": session["id"],
        "user": users[Role.RC_USER],
        "token": token["view"]["id"],
    }
    return Tenant(names, objects)


@pytest.fixture(scope="module")
def founded(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Tenant, Tenant]:
    """A data directory that knows two organisations; each test works on a copy."""
    data = shutil.copytree(template, tmp_path_factory.mktemp("tenants") / "data")

    def add(tx: Any) -> None:  # noqa: ANN401 -- a transaction
        other = store_organisations.add_organisation(tx, "Plant Two", 1)
        one_time = CHEAP.hash_now("one time only")
        store_users.add_user(tx, other, "eve", Role.ADMINISTRATOR, one_time, 1)

    async def both() -> tuple[Tenant, Tenant]:
        async with running_world(data, Clock()) as world:
            eve = await world.anyone.first_login("eve", "one time only")
            own = await found(world, world.admin, "admin", "one")
            return own, await found(world, eve, "eve", "two")

    write_offline(SqliteFile(data / "controld.db"), add)
    return data, *asyncio.run(both())


@pytest.fixture
async def tenants(
    founded: tuple[Path, Tenant, Tenant], clock: Clock, tmp_path: Path
) -> AsyncIterator[tuple[World, Tenant, Tenant]]:
    data, own, other = founded
    copied = shutil.copytree(data, tmp_path / "tenants")
    async with running_world(copied, clock, signed_in=False) as world:
        own = await own.logged_in(world)
        yield replace(world, admin=own.callers[Role.ADMINISTRATOR]), own, other


def spelt(method: str, path: str) -> str:
    return f"{method} {path.removeprefix('/api/v1')}"


async def test_t6_nothing_is_served_that_the_tables_do_not_name(world: World) -> None:
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in world.server.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    api = {f"{route.method} {route.path}" for route in ROUTES}
    pages = {f"{page.method} {page.path}" for page in PAGES}
    assert {spelt(r.method, r.path) for r in ROUTES} == {*MATRIX, *ANYONE, *SIGNED_IN}
    assert {r.path for r in ROUTES if r.needs is Open.ANYONE} == {
        "/api/v1" + line.split()[1] for line in ANYONE
    }
    beside = served - api - pages
    assert beside == {f"GET {LINK_PATH}", "GET /static/{digest}/{name}"} or all(
        "/static/" in line or line.endswith((LINK_PATH, LOGIN_PATH)) for line in beside
    ), beside


async def ask(caller: Api, line: str, objects: dict[str, str]) -> Any:  # noqa: ANN401
    method, path = line.split()
    if path == "/events":
        url = f"{caller.base}/api/v1{path}"
        headers = {"Authorization": f"Bearer {caller.token}"}
        async with caller.http.get(url, headers=headers) as response:
            return response.status, None
    answer = await caller(method, path.format(**objects), BODIES.get(line), headers=IF_MATCH)
    return answer.status, answer.body


@pytest.mark.parametrize("line", sorted(MATRIX))
async def test_t6_each_cell_of_the_matrix(tenants: tuple[World, Tenant, Tenant], line: str) -> None:
    world, own, other = tenants
    # The mightiest last: what it does may undo what the others are asked with.
    for role, cell in reversed(tuple(zip(ROLES, MATRIX[line], strict=True))):
        status, body = await ask(own.callers[role], line, own.objects)
        is_denied = status == 403 and body["code"] == "forbidden"
        assert is_denied is (cell == "-"), (line, role, status, body)
        assert status < 500
        if "{" not in line:
            continue
        foreign = await ask(own.callers[role], line, other.objects)
        if cell != "-" and line in OPERATORS:
            assert foreign[0] not in {
                403,
                404,
            }  # tests/controld/test_api_organisations.py has the rest
            continue
        missing = await ask(own.callers[role], line, MISSING)
        assert foreign == missing, (line, role)
        assert foreign[0] == (403 if cell == "-" else 404), (line, role, foreign)
    assert (await ask(world.anyone, line, own.objects))[0] == 401
    # A gateway's enrolled identity is no API user: it has no token at all.
    stranger = world.anyone.as_(own.objects["gateway"])
    assert (await ask(stranger, line, own.objects))[0] == 401


async def test_t6_an_auditor_changes_nothing_and_each_look_is_recorded(
    tenants: tuple[World, Tenant, Tenant],
) -> None:
    world, own, _ = tenants
    before = (await world.actions()).count("auditor_read")
    auditor = own.callers[Role.AUDITOR]
    await auditor.ok("GET", "/sessions")
    await auditor.ok("GET", f"/sessions/{own.objects['session']}")
    await auditor.ok("GET", "/audit")
    records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
    looks = [r["subject"] for r in records if r["action"] == "auditor_read"][before:]
    session = f"/api/v1/sessions/{own.objects['session']}"
    assert looks == ["/api/v1/sessions", session, "/api/v1/audit"]


async def test_t6_ones_own_tokens_are_nobody_elses(
    tenants: tuple[World, Tenant, Tenant],
) -> None:
    world, own, other = tenants
    other = await other.logged_in(world)
    for caller in (own.callers[Role.RC_ADMINISTRATOR], other.callers[Role.ADMINISTRATOR]):
        answer = await caller("DELETE", f"/tokens/{own.objects['token']}")
        assert answer.status == 404


class TestPersonalTokens:
    """A token has the rights it was made for, as far as its user still has them."""

    async def make(self, caller: Api, *scopes: str) -> Api:
        body = {"name": "-".join(scopes)[:80], "scopes": scopes, "days": 30}
        return caller.as_((await caller.ok("POST", "/tokens", body))["token"])

    async def test_it_does_what_it_was_made_for_and_nothing_else(self, world: World) -> None:
        program = await self.make(world.admin, "see_gateways")
        assert (await program("GET", "/gateways")).status == 200
        for method, path in (("GET", "/sessions"), ("POST", "/gateways"), ("POST", "/logout")):
            answer = await program(method, path, {"name": "x"} if method == "POST" else None)
            assert (answer.status, answer.code) == (403, "token_scope"), path
        assert "permission_denied" in await world.actions()

    async def test_no_token_makes_another(self, world: World) -> None:
        program = await self.make(world.admin, "manage_users")
        body = {"name": "more", "scopes": ["manage_users"], "days": 1}
        assert (await program("POST", "/tokens", body)).code == "token_scope"

    async def test_nobody_gives_a_token_what_they_do_not_have(self, world: World) -> None:
        _, user = await world.admin.new_user("tina", "rc_user")
        body = {"name": "x", "scopes": ["manage_users"], "days": 1}
        assert (await user("POST", "/tokens", body)).status == 403

    async def test_it_ends_with_its_time_its_removal_and_its_user(self, world: World) -> None:
        user, boss = await world.admin.new_user("boss", "administrator")
        timed = await self.make(boss, "see_gateways")
        removed = await self.make(boss, "see_users")
        orphan = await self.make(boss, "see_sessions")
        listed = (await boss.ok("GET", "/tokens"))["tokens"]
        (of_removed,) = [t["id"] for t in listed if t["scopes"] == ["see_users"]]
        await boss.ok("DELETE", f"/tokens/{of_removed}")
        assert (await removed("GET", "/users")).status == 401
        assert (await timed("GET", "/gateways")).status == 200
        await world.admin.ok("POST", f"/users/{user}/disable")
        assert (await orphan("GET", "/sessions")).status == 401
        own = await self.make(world.admin, "see_gateways")
        world.clock.advance(30 * 86_400)
        assert (await own("GET", "/gateways")).status == 401


def test_each_handler_reads_the_body_its_route_names() -> None:
    for route in ROUTES:
        source = inspect.getsource(route.handle)
        if route.takes is None:
            assert "body(" not in source, route.path
        else:
            assert f"body({route.takes.__name__})" in source, route.path
