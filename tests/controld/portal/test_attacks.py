"""T22 to T24 for the portal: guessing, logins that are over, other sites; on every page it has."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from controld.api import Open
from controld.portal.frame import LOGIN_PATH
from controld.server import PAGES
from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import World

GUARDED = [page for page in PAGES if page.needs is not Open.ANYONE]
FORMS = [page for page in PAGES if page.method == "POST"]


def spelt(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


async def is_dead(visitor: Visitor, cookie: str) -> None:
    """A cookie that opens no page and sends no form."""
    for page in GUARDED:
        async with visitor.http.request(
            page.method,
            visitor.url + spelt(page.path),
            headers={"Cookie": f"__Host-portal={cookie}", "Origin": visitor.url},
            data={"csrf": visitor.csrf} if page.method == "POST" else None,
            allow_redirects=False,
        ) as answer:
            where = (answer.status, answer.headers.get("Location"))
            assert where == (303, LOGIN_PATH), (page.method, page.path)


class TestGuessing:
    """T22."""

    async def test_t22_pages_and_api_share_ten_guesses(
        self, world: World, visitor: Visitor
    ) -> None:
        form = [visitor.login("admin", f"guess {n}") for n in range(20)]
        api = [
            world.anyone("POST", "/login", {"name": "admin", "password": f"word {n}"})
            for n in range(20)
        ]
        answers: list[Any] = list(await asyncio.gather(*form, *api))
        looked_at = sum("or the password is wrong" in text for text in answers[:20])
        looked_at += sum(answer.status == 401 for answer in answers[20:])
        assert looked_at == 10
        text = await visitor.login("admin", ADMIN_PASSWORD)
        assert "Too many failed logins" in text
        assert visitor.cookie == ""

    async def test_t22_the_owners_browser_still_gets_in(self, admin: Visitor) -> None:
        await admin.post("/logout")
        async with admin.stranger() as thief:
            for n in range(11):
                text = await thief.login("admin", f"guess {n}")
            assert "Too many failed logins" in text
        text = await admin.login("admin", ADMIN_PASSWORD)
        assert "somebody failed 10 times" in text
        assert admin.cookie


class TestLogins:
    """T23."""

    async def test_t23_a_planted_cookie_does_not_become_the_login(self, visitor: Visitor) -> None:
        planted = "A" * 43
        data = {"name": "admin", "password": ADMIN_PASSWORD}
        headers = {"Cookie": f"__Host-portal={planted}", "Origin": visitor.url}
        async with visitor.http.post(
            f"{visitor.url}/login", data=data, headers=headers, allow_redirects=False
        ) as answer:
            given = answer.cookies["__Host-portal"]
        assert given.value != planted
        assert (given["httponly"], given["secure"], given["samesite"]) == (True, True, "Lax")
        async with visitor.stranger() as thief:  # whose browser has no login besides
            await is_dead(thief, planted)

    @pytest.mark.parametrize("how", ["logout", "password", "role", "disable"])
    async def test_t23_an_old_cookie_is_dead_on_every_page_and_after_a_restart(
        self, open_world: Callable[..., Any], visitor_of: Callable[..., Any], how: str
    ) -> None:
        async with open_world() as world:
            user, api = await world.admin.new_user("tina", "administrator")
            async with visitor_of(world) as tina:
                await tina.login("tina", ADMIN_PASSWORD)
                old = tina.cookie
                await tina.get("/users")
                assert tina.at == "/users"
                match how:
                    case "logout":
                        await tina.post("/logout")
                    case "password":
                        change = {"old": ADMIN_PASSWORD, "new": "a sentence nobody guesses"}
                        await api.ok("POST", "/password", change)
                    case "role":
                        tag = (await world.admin("GET", f"/users/{user}")).headers["ETag"]
                        role, headers = {"role": "rc_administrator"}, {"If-Match": tag}
                        await world.admin("PUT", f"/users/{user}", role, headers=headers)
                    case _:
                        await world.admin.ok("POST", f"/users/{user}/disable")
                await is_dead(tina, old)
        async with open_world(signed_in=False) as world, visitor_of(world) as tina:
            await tina.get("/users", Cookie=f"__Host-portal={old}")
            assert tina.at == LOGIN_PATH

    async def test_t23_a_login_ends_idle(self, world: World, admin: Visitor) -> None:
        world.clock.advance(15 * 60)
        await is_dead(admin, admin.cookie)


class TestOtherSites:
    """T24."""

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
    async def test_t24_no_form_is_taken_from_elsewhere(
        self, world: World, admin: Visitor, origin: str
    ) -> None:
        before = len(await world.actions())
        for page in FORMS:
            await admin.post(spelt(page.path), origin=origin)
            assert admin.status == 403, page.path
        assert len(await world.actions()) == before

    async def test_t24_no_form_is_taken_without_its_token(
        self, world: World, admin: Visitor
    ) -> None:
        before = len(await world.actions())
        admin.csrf = "guessed"
        for page in FORMS:
            if page.needs is not Open.ANYONE:
                await admin.post(spelt(page.path))
                assert admin.status == 403, page.path
        assert len(await world.actions()) == before

    async def test_t24_no_page_is_shown_under_another_name(self, admin: Visitor) -> None:
        """DNS rebinding: the browser would send no cookie, and gets nothing either way."""
        for page in PAGES:
            if page.method == "GET":
                await admin.get(spelt(page.path), Host="evil.example")
                assert admin.status == 403, page.path
