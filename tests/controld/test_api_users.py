"""A user's role and ways in, changed by an administrator: what holds at once, and what is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from controld import store_subjects, store_users
from rclib.wire.control import SessionEnd
from rclib.wire.link import LinkRefusal
from rclib.wire.session import EndReason
from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.provider import add_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

    from controld.store import Tx
    from tests.controld.callers import Answer, Api
    from tests.controld.world import Rig, World


async def give_role(caller: Api, user: str, role: str, tag: str | None = None) -> Answer:
    tag = tag or (await caller("GET", f"/users/{user}")).headers["ETag"]
    return await caller("PUT", f"/users/{user}", {"role": role}, headers={"If-Match": tag})


async def id_of(world: World, name: str) -> str:
    users = (await world.admin.ok("GET", "/users"))["users"]
    return str(next(user["id"] for user in users if user["name"] == name))


class TestRole:
    async def test_it_holds_at_once_and_old_logins_end(self, world: World) -> None:
        user, tina = await world.admin.new_user("tina", "rc_administrator")
        token = {"name": "list", "scopes": ["see_gateways", "see_sessions"], "days": 1}
        program = tina.as_((await tina.ok("POST", "/tokens", token))["token"])
        assert (await program("GET", "/gateways")).status == 200
        answer = await give_role(world.admin, user, "rc_user")
        assert answer.body["role"] == "rc_user"
        assert (await tina("GET", "/sessions")).status == 401
        assert (await program("GET", "/gateways")).code == "forbidden"
        assert (await program("GET", "/sessions")).status == 200
        tina = await world.anyone.login("tina", ADMIN_PASSWORD)
        assert (await tina("GET", "/gateways")).code == "forbidden"
        records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
        (row,) = [row for row in records if row["action"] == "user_role_changed"]
        assert (row["subject"], row["actor_name"]) == (user, "admin")
        assert row["detail"] == {"name": "tina", "role": "rc_user", "was": "rc_administrator"}

    async def test_it_is_changed_from_what_was_seen(self, world: World) -> None:
        user, _ = await world.admin.new_user("tina", "rc_user")
        stale = (await world.admin("GET", f"/users/{user}")).headers["ETag"]
        assert (await give_role(world.admin, user, "auditor")).status == 200
        answer = await give_role(world.admin, user, "administrator", stale)
        assert (answer.status, answer.code) == (412, "changed_meanwhile")
        missing = await world.admin("PUT", f"/users/{user}", {"role": "rc_user"})
        assert missing.status == 428

    async def test_the_role_one_has_changes_nothing(self, world: World) -> None:
        user, tina = await world.admin.new_user("tina", "rc_user")
        before = await world.actions()
        assert (await give_role(world.admin, user, "rc_user")).status == 200
        assert (await tina("GET", "/sessions")).status == 200
        assert await world.actions() == before

    async def test_the_last_administrator_stays_one(self, world: World) -> None:
        own = await id_of(world, "admin")
        answer = await give_role(world.admin, own, "rc_user")
        assert (answer.status, answer.code) == (409, "last_administrator")
        other, boss = await world.admin.new_user("boss", "administrator")
        assert (await give_role(boss, own, "rc_user")).status == 200
        answer = await give_role(boss, other, "auditor")
        assert (answer.status, answer.code) == (409, "last_administrator")

    async def test_two_administrators_cannot_remove_each_other(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both are let in as administrators before either is none; the second is refused."""
        own = await id_of(world, "admin")
        other, boss = await world.admin.new_user("boss", "administrator")
        store, both = world.server.services.store, asyncio.Barrier(2)
        write = store.write

        async def together(work: Callable[[Tx], Any]) -> Any:  # noqa: ANN401 - as the store's
            await both.wait()
            return await write(work)

        monkeypatch.setattr(store, "write", together)
        answers = await asyncio.gather(
            give_role(world.admin, other, "auditor"), boss("POST", f"/users/{own}/disable")
        )
        assert [each.code for each in answers if each.status == 409] == ["last_administrator"]

        def work(tx: Tx) -> list[str]:
            admin = store_users.find_user_by_name(tx, "admin")
            assert admin is not None
            listed = store_users.list_users(tx, admin.organisation)
            return [u.name for u in listed if u.role.value == "administrator" and not u.disabled]

        assert len(await world.server.services.store.read(work)) == 1

    async def test_who_is_disabled_is_no_administrator_to_fall_back_on(self, world: World) -> None:
        other, _ = await world.admin.new_user("boss", "administrator")
        await world.admin.ok("POST", f"/users/{other}/disable")
        answer = await give_role(world.admin, await id_of(world, "admin"), "rc_user")
        assert answer.code == "last_administrator"


class TestOpenSessions:
    async def test_what_the_new_role_may_start_goes_on(self, rig: Rig) -> None:
        await rig.granted()
        (user,) = (await rig.world.state(rig.session))["users"]
        await give_role(rig.world.admin, user, "rc_administrator")
        assert (await rig.world.state(rig.session))["state"] == "starting"

    async def test_what_it_may_not_start_ends_at_both_ends(self, rig: Rig) -> None:
        """An administrator who started what does not name them becomes a mere user."""
        world = rig.world
        (user,) = (await world.state(rig.session))["users"]
        await give_role(world.admin, user, "rc_administrator")
        rig.technician = await world.anyone.login("tina", ADMIN_PASSWORD)
        rig.session = await world.session(rig.gateway)
        await rig.granted()
        await give_role(world.admin, user, "rc_user")
        for end in (rig.gateway, rig.client):
            assert await end.expect(SessionEnd) == SessionEnd(rig.session, EndReason.ADMINISTRATOR)
        assert (await world.state(rig.session))["end_reason"] == "administrator"

    async def test_a_ticket_that_was_not_used_is_void(self, rig: Rig) -> None:
        ticket = await rig.ticket()
        (user,) = (await rig.world.state(rig.session))["users"]
        await give_role(rig.world.admin, user, "auditor")
        assert (await rig.world.state(rig.session))["state"] == "ended"
        assert ticket

    async def test_a_role_without_computers_shuts_their_links(self, rig: Rig) -> None:
        (user,) = (await rig.world.state(rig.session))["users"]
        await give_role(rig.world.admin, user, "auditor")
        assert (await rig.client.refused()).reason is LinkRefusal.UNKNOWN
        challenge = await rig.client.dial()
        await rig.client.hello(challenge.nonce)
        refused = await rig.client.refused()
        assert "a role without computers" in refused.detail
        await give_role(rig.world.admin, user, "rc_user")
        await rig.client.link()


class TestProviders:
    @pytest.fixture
    async def linked(
        self, data: Path, open_world: Callable[..., Any]
    ) -> AsyncIterator[tuple[World, str, Api]]:
        """A user whose account at a provider opens this one."""
        add_provider(data, "Corp", "https://login.example")
        async with open_world() as world:
            user, tina = await world.admin.new_user("tina", "rc_user")
            (configured,) = world.server.services.config.providers

            def work(tx: Tx) -> None:
                found = store_users.find_user_by_name(tx, "tina")
                assert found is not None
                store_subjects.link(tx, found.id, configured.issuer, "248289761001", 1)

            await world.server.services.store.write(work)
            yield world, user, tina

    async def test_an_administrator_removes_somebodys_link(
        self, linked: tuple[World, str, Api]
    ) -> None:
        world, user, tina = linked
        path = f"/users/{user}/providers"
        (shown,) = (await world.admin.ok("GET", path))["providers"]
        assert shown["linked"]
        await world.admin.ok("DELETE", f"{path}/{shown['id']}")
        (shown,) = (await world.admin.ok("GET", path))["providers"]
        assert not shown["linked"]
        assert (await tina("GET", "/sessions")).status == 401, "whoever came that way is out"
        records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
        (row,) = [row for row in records if row["action"] == "provider_unlinked"]
        assert (row["subject"], row["actor_name"]) == (user, "admin")
        again = await world.admin("DELETE", f"{path}/{shown['id']}")
        assert again.status == 404
