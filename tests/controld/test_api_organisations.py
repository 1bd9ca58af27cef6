"""Organisations: the operator's administrators make them, each one's own rename theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.controld.callers import Answer, Api
    from tests.controld.world import World

PATH = "/organisations"


async def found(caller: Api) -> dict[str, dict[str, Any]]:
    listed = (await caller.ok("GET", PATH))["organisations"]
    return {each["name"]: each for each in listed}


async def second(world: World) -> Api:
    """The administrator of an organisation that the operator made."""
    body = {"name": "Plant Two", "administrator": "eve"}
    made = await world.admin.ok("POST", PATH, body)
    return await world.anyone.first_login("eve", made["password"])


async def rename(caller: Api, organisation: str, name: str, revision: int) -> Answer:
    tag = {"If-Match": f'"{revision}"'}
    return await caller("PUT", f"{PATH}/{organisation}", {"name": name}, headers=tag)


async def test_the_first_one_is_the_operators(world: World) -> None:
    (own,) = (await found(world.admin)).values()
    assert (own["name"], own["is_operator"]) == ("Plant One", True)


async def test_a_new_one_comes_with_its_administrator_and_nothing_else(world: World) -> None:
    eve = await second(world)
    assert set(await found(eve)) == {"Plant Two"}
    assert [user["name"] for user in (await eve.ok("GET", "/users"))["users"]] == ["eve"]
    assert (await eve.ok("GET", "/gateways"))["gateways"] == []
    # Both records tell of it; the operator's tells of nothing inside.
    rows = (await eve.ok("GET", "/audit"))["records"]
    assert [row["action"] for row in rows[:2]] == ["organisation_created", "user_created"]
    assert {row["actor_name"] for row in rows[:2]} == {"admin"}
    assert "organisation_created" in await world.actions()
    assert "eve" not in [user["name"] for user in (await world.admin.ok("GET", "/users"))["users"]]


async def test_only_the_operators_administrators_make_one(world: World) -> None:
    eve = await second(world)
    answer = await eve("POST", PATH, {"name": "Plant Three", "administrator": "mallory"})
    assert (answer.status, answer.code) == (403, "operator_only")
    assert "permission_denied" in [r["action"] for r in (await eve.ok("GET", "/audit"))["records"]]
    assert set(await found(world.admin)) == {"Plant One", "Plant Two"}


async def test_a_name_in_use_makes_none(world: World) -> None:
    await second(world)
    for body in (
        {"name": "Plant Two", "administrator": "eva"},
        {"name": "Plant Three", "administrator": "EVE"},
    ):
        answer = await world.admin("POST", PATH, body)
        assert (answer.status, answer.code) == (409, "name_taken")
    assert set(await found(world.admin)) == {"Plant One", "Plant Two"}


async def test_each_renames_its_own_and_the_operator_any(world: World) -> None:
    eve = await second(world)
    organisations = await found(world.admin)
    one, two = organisations["Plant One"], organisations["Plant Two"]
    foreign = await rename(eve, one["id"], "Ours", 1)
    missing = await rename(eve, "org_" + "a" * 16, "Ours", 1)
    assert (foreign.status, foreign.body) == (404, missing.body)
    assert (await eve("GET", f"{PATH}/{one['id']}")).status == 404
    assert (await rename(eve, two["id"], "Plant 2", two["revision"])).status == 200
    stale = await rename(world.admin, two["id"], "Second", two["revision"])
    assert (stale.status, stale.code) == (412, "changed_meanwhile")
    answer = await rename(world.admin, two["id"], "Second", two["revision"] + 1)
    assert answer.headers["ETag"] == f'"{two["revision"] + 2}"'
    taken = await rename(world.admin, two["id"], "Plant One", two["revision"] + 2)
    assert (taken.status, taken.code) == (409, "name_taken")
    rows = [r for r in (await eve.ok("GET", "/audit"))["records"] if "renamed" in r["action"]]
    assert [row["detail"]["name"] for row in rows] == ["Plant 2", "Second"]
    assert (await world.actions()).count("organisation_renamed") == 1
