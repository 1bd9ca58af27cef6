"""API tokens on their page: made, shown once, used, revoked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import Rig, World

WANTED = [("name", "reporting"), ("scope", "see_sessions"), ("scope", "read_audit"), ("days", "30")]


async def make(visitor: Visitor) -> str:
    await visitor.get("/tokens")
    found = re.search(r"rcp_[\w-]+", await visitor.post("/tokens", WANTED))
    assert found is not None
    return found[0]


async def test_one_is_shown_once_works_for_what_it_was_made_for_and_is_revoked(
    world: World, rig: Rig, admin: Visitor
) -> None:
    token = await make(admin)
    text = await admin.get("/tokens")
    assert token not in text
    for shown in ("reporting", "Read the record, See sessions"):
        assert shown in text
    program = world.anyone.as_(token)
    assert (await program.ok("GET", "/sessions"))["sessions"][0]["id"] == rig.session
    assert (await program("GET", "/users")).status == 403
    found = re.search(r"/tokens/(\w+)/remove", text)
    assert found is not None
    await admin.post(found[0])
    assert "No token yet" in await admin.get("/tokens")
    assert (await program("GET", "/sessions")).status == 401


@pytest.mark.parametrize("left_out", ["name", "scope", "days"])
async def test_an_incomplete_one_is_not_made(world: World, admin: Visitor, left_out: str) -> None:
    await admin.get("/tokens")
    text = await admin.post("/tokens", [each for each in WANTED if each[0] != left_out])
    assert admin.status == 400
    assert "at least one right" in text
    assert (await world.admin.ok("GET", "/tokens"))["tokens"] == []


async def test_nobody_gives_a_token_what_they_may_not(rig: Rig, visitor: Visitor) -> None:
    assert rig.session
    await visitor.login("tina", ADMIN_PASSWORD)
    assert "manage_users" not in await visitor.get("/tokens")
    await visitor.post("/tokens", [*WANTED, ("scope", "manage_users")])
    assert visitor.status == 400
    assert "No token yet" in await visitor.get("/tokens")


async def test_a_token_is_no_login_to_the_portal(rig: Rig, admin: Visitor) -> None:
    """T23: the cookie takes a login; a token in it opens no more than it was made for."""
    assert rig.session
    token = await make(admin)
    async with admin.stranger() as thief:
        for path in ("/tokens", "/password", "/sign-in", "/users"):
            await thief.get(path, Cookie=f"__Host-portal={token}")
            assert thief.status == 403, path
