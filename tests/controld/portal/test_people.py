"""Users and organisations on their pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import World


def revision_on(text: str) -> str:
    found = re.search(r'name="revision" value="(\d+)"', text)
    assert found is not None
    return found[1]


class TestUsers:
    async def test_a_role_is_changed_on_the_users_page(self, world: World, admin: Visitor) -> None:
        user, _ = await world.admin.new_user("tina", "rc_user")
        assert f'href="/users/{user}"' in await admin.get("/users")
        text = await admin.get(f"/users/{user}")
        change = [("revision", revision_on(text)), ("role", "auditor")]
        text = await admin.post(f"/users/{user}/role", change)
        assert (admin.status, admin.at) == (200, f"/users/{user}")
        assert '<option value="auditor" selected' in text
        text = await admin.post(f"/users/{user}/role", change)
        assert admin.status == 412
        assert "Somebody changed this meanwhile" in text

    async def test_the_last_administrator_hears_it_beside_the_field(
        self, world: World, admin: Visitor
    ) -> None:
        (own,) = (await world.admin.ok("GET", "/users"))["users"]
        text = await admin.get(f"/users/{own['id']}")
        assert "Disable" not in text, "nobody disables themselves"
        change = [("revision", revision_on(text)), ("role", "rc_user")]
        text = await admin.post(f"/users/{own['id']}/role", change)
        assert admin.status == 409
        assert '<select id="role" name="role" aria-invalid="true" aria-describedby="wrong"' in text
        assert "Every organisation needs an administrator" in text

    async def test_one_is_disabled_there(self, world: World, admin: Visitor) -> None:
        user, _ = await world.admin.new_user("tina", "rc_user")
        await admin.get(f"/users/{user}")
        text = await admin.post(f"/users/{user}/disable")
        assert "tina · disabled" in text
        assert "· disabled" in await admin.get("/users")

    async def test_a_name_in_use_is_refused_with_what_was_typed(self, admin: Visitor) -> None:
        await admin.get("/users")
        text = await admin.post("/users", [("name", "Admin"), ("role", "auditor")])
        assert admin.status == 400
        assert "This name is taken" in text
        assert 'value="Admin"' in text
        assert '<option value="auditor" selected' in text

    async def test_a_remoteconnect_administrator_only_sees_the_list(
        self, world: World, visitor: Visitor
    ) -> None:
        user, _ = await world.admin.new_user("rita", "rc_administrator")
        await visitor.login("rita", ADMIN_PASSWORD)
        text = await visitor.get("/users")
        assert "rita" in text
        assert "/organisations" not in text
        await visitor.get(f"/users/{user}")
        assert visitor.status == 403


class TestOrganisations:
    async def test_the_operator_adds_one_and_its_administrator_sees_only_that(
        self, world: World, admin: Visitor
    ) -> None:
        assert "Plant One" in await admin.get("/users")
        await admin.get("/organisations")
        wanted = [("name", "Plant <2>"), ("administrator", "eve")]
        text = await admin.post("/organisations", wanted)
        assert "Plant &lt;2&gt;: one-time password for eve" in text
        found = re.search(r'<code class="code">([^<]+)</code>', text)
        assert found is not None
        assert found[1] not in await admin.get("/organisations")
        await world.anyone.first_login("eve", found[1])
        async with admin.stranger() as eve:
            await eve.login("eve", ADMIN_PASSWORD)
            text = await eve.get("/organisations")
            assert "Plant &lt;2&gt;" in text
            assert "Plant One" not in text
            assert "Add an organisation" not in text
            await eve.post("/organisations", wanted)
            assert eve.status == 403

    async def test_a_new_name_is_what_everybody_sees(self, admin: Visitor) -> None:
        text = await admin.get("/organisations")
        address = re.search(r'action="(/organisations/org_\w+)"', text)
        assert address is not None
        change = [("revision", revision_on(text)), ("name", "Press Works")]
        text = await admin.post(address[1], change)
        assert admin.at == "/organisations"
        assert "Press Works" in text
        await admin.post(address[1], change)
        assert admin.status == 400
        assert "Press Works" in await admin.get("/users")
