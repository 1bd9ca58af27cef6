"""Logging in with a provider of identities, against a real one that can also lie."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pyotp
import pytest

from controld import store_subjects
from controld.api import Open
from controld.server import PAGES, ROUTES
from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.provider import Provider, new_key, running_provider

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import World

LOGIN = "/login/with/corp"
NOT_CONFIRMED = "did not confirm who you are"
pytestmark = pytest.mark.usefixtures("provider")


async def link(visitor: Visitor, password: str = ADMIN_PASSWORD) -> str:
    """Go the way a browser goes; returns the page it ends on."""
    text = await visitor.post("/sign-in/providers/corp", [("password", password)])
    found = re.search(r'class="button" href="([^"]+)"', text)
    if found is None:
        return text
    return await visitor.follow(found[1].replace("&amp;", "&"))


@pytest.fixture
async def linked(world: World, admin: Visitor) -> Visitor:
    """A browser of admin's, whose account is linked, logged out."""
    assert "Remove the link with Corp" in await link(admin)
    await admin.post("/logout")
    assert "provider_linked" in await world.actions()
    return admin


class TestWayIn:
    async def test_a_linked_user_is_let_in(self, world: World, linked: Visitor) -> None:
        assert "Sign in with Corp" in await linked.get("/login")
        await linked.get(LOGIN)
        assert (linked.status, linked.at) == (200, "/")
        await linked.get("/users")
        assert linked.status == 200
        records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
        assert [r["detail"] for r in records if r["action"] == "login_succeeded"][-1] == {
            "by": "provider corp"
        }

    async def test_a_login_has_an_id_of_its_own(self, linked: Visitor) -> None:
        await linked.get(LOGIN)
        first = linked.cookie
        await linked.get(LOGIN)
        assert first
        assert linked.cookie not in {"", first}

    async def test_who_is_linked_to_nobody_stays_outside(
        self, world: World, visitor: Visitor
    ) -> None:
        text = await visitor.get(LOGIN)
        assert "linked with no user" in text
        assert visitor.status == 403
        assert visitor.cookie == ""
        assert len((await world.admin.ok("GET", "/users"))["users"]) == 1

    async def test_an_e_mail_or_a_name_is_nobodys_key(
        self, provider: Provider, linked: Visitor
    ) -> None:
        provider.subject = "somebody else"
        provider.claims = {
            "email": "admin@plant.example",
            "email_verified": True,
            "preferred_username": "admin",
            "name": "admin",
            "sub_id": "248289761001",
        }
        assert "linked with no user" in await linked.get(LOGIN)
        assert linked.cookie == ""

    async def test_the_same_subject_of_another_provider_is_somebody_else(
        self, world: World, provider: Provider, visitor: Visitor
    ) -> None:
        (admin,) = (await world.admin.ok("GET", "/users"))["users"]
        subject = provider.subject
        await world.server.services.store.write(
            lambda tx: store_subjects.link(tx, admin["id"], "https://id.example", subject, 1)
        )
        assert "linked with no user" in await visitor.get(LOGIN)
        assert visitor.cookie == ""

    async def test_a_disabled_user_stays_outside(
        self, world: World, provider: Provider, visitor: Visitor
    ) -> None:
        user, _ = await world.admin.new_user("tina", "rc_user")
        await visitor.login("tina", ADMIN_PASSWORD)
        assert "Remove the link" in await link(visitor)
        await visitor.post("/logout")
        await world.admin.ok("POST", f"/users/{user}/disable")
        assert "linked with no user" in await visitor.get(LOGIN)
        assert visitor.cookie == ""
        assert len(provider.redeemed) == 2
        assert "login_failed" in await world.actions()

    async def test_a_one_time_password_is_still_to_be_changed(
        self, world: World, visitor: Visitor
    ) -> None:
        created = await world.admin.ok("POST", "/users", {"name": "tina", "role": "rc_user"})
        await visitor.login("tina", created["password"])
        await visitor.get("/sign-in")
        await link(visitor, created["password"])
        await visitor.get(LOGIN)
        assert visitor.at == "/password"


class TestSecondFactor:
    """The provider stands for the password, and for nothing else."""

    @pytest.fixture
    async def app(self, world: World, linked: Visitor) -> pyotp.TOTP:
        del linked
        started = await world.admin.ok("POST", "/account/totp", {"password": ADMIN_PASSWORD})
        app = pyotp.TOTP(started["secret"])
        code = app.at(world.clock() // 1000)
        await world.admin.ok("POST", "/account/totp/confirm", {"code": code})
        world.clock.advance(60)
        return app

    async def test_who_has_an_app_shows_its_code_besides(
        self, world: World, linked: Visitor, app: pyotp.TOTP
    ) -> None:
        assert "asks for the code" in await linked.get(LOGIN)
        assert linked.cookie == ""
        await linked.get("/users")
        assert linked.at == "/login"
        code = app.at(world.clock() // 1000)
        await linked.get(LOGIN)
        await linked.post("/login/code", [("code", code)])
        assert linked.at == "/"
        await linked.post("/logout")
        await linked.get(LOGIN)
        assert "used before" in await linked.post("/login/code", [("code", code)])
        assert linked.cookie == ""

    async def test_t23_between_the_two_factors_nothing_is_open(
        self, world: World, linked: Visitor, app: pyotp.TOTP
    ) -> None:
        del app
        await linked.get(LOGIN)
        half = linked.cookies["__Host-portal-way-in"]
        caller = world.anyone.as_(half)
        for route in ROUTES:
            if route.needs is not Open.ANYONE:
                path = re.sub(r"\{\w+\}", "x", route.path.removeprefix("/api/v1"))
                assert (await caller(route.method, path)).status == 401, route.path
        for page in PAGES:
            if page.method == "GET" and page.needs is not Open.ANYONE:
                path = re.sub(r"\{\w+\}", "x", page.path)
                await linked.get(path, Cookie=f"__Host-portal={half}")
                assert linked.at == "/login", path

    async def test_its_guesses_count_with_all_others(
        self, world: World, linked: Visitor, app: pyotp.TOTP
    ) -> None:
        wrong = {"name": "admin", "password": "wrong"}
        for _ in range(5):
            assert (await world.anyone("POST", "/login", wrong)).status == 401
        async with linked.stranger() as stranger:
            await stranger.get(LOGIN)
            for _ in range(5):
                assert "wrong" in await stranger.post("/login/code", [("code", "000000")])
            right = [("code", app.at(world.clock() // 1000))]
            assert "Too many failed logins" in await stranger.post("/login/code", right)

    async def test_without_the_provider_a_code_opens_nothing(
        self, world: World, linked: Visitor, app: pyotp.TOTP
    ) -> None:
        code = [("code", app.at(world.clock() // 1000))]
        assert "Begin again" in await linked.post("/login/code", code)
        await linked.get(LOGIN)
        world.clock.advance(301)
        code = [("code", app.at(world.clock() // 1000))]
        assert "Begin again" in await linked.post("/login/code", code)
        assert linked.cookie == ""

    async def test_an_empty_code_is_none(self, linked: Visitor, app: pyotp.TOTP) -> None:
        del app
        await linked.get(LOGIN)
        assert "wrong" in await linked.post("/login/code", [("code", "")])


class TestLies:
    """Whatever a provider, or somebody between, gives instead of the truth opens nothing."""

    async def test_a_token_for_another_login_program_or_time(
        self, provider: Provider, linked: Visitor
    ) -> None:
        """What else can be wrong with one: tests/controld/test_oidc.py."""
        for claims in ({"nonce": "of another login"}, {"aud": "another-program"}, {"exp": 1}):
            provider.claims = claims
            assert NOT_CONFIRMED in await linked.get(LOGIN), claims
            assert linked.cookie == ""
        provider.claims = {}
        await linked.get(LOGIN)
        assert linked.cookie

    async def test_a_key_the_provider_does_not_publish(
        self, provider: Provider, linked: Visitor
    ) -> None:
        for name in ("k1", "k2"):  # with a known name, and with a name of its own
            provider.signs_with = new_key(name)
            assert NOT_CONFIRMED in await linked.get(LOGIN)
        assert linked.cookie == ""

    async def test_what_is_no_token(self, provider: Provider, linked: Visitor) -> None:
        _, claims, _ = provider.sign("x").split(".")
        for text in (f"eyJhbGciOiJub25lIn0.{claims}.", " ", "a.b.c", "é", "a" * 300_000):
            provider.id_token = text
            assert NOT_CONFIRMED in await linked.get(LOGIN)
            assert linked.cookie == ""

    async def test_a_document_that_names_something_else(
        self, world: World, provider: Provider, visitor: Visitor
    ) -> None:
        for document in (
            {"issuer": "https://id.example"},
            {"token_endpoint": "http://192.0.2.1/token"},
            {"jwks_uri": "file:///etc/passwd"},
            {"token_endpoint": 7},
        ):
            provider.document = document
            world.clock.advance(6)
            assert NOT_CONFIRMED in await visitor.get(LOGIN), document
            assert provider.seen == []

    async def test_a_redirect_of_the_token_endpoint_is_not_followed(
        self, provider: Provider, linked: Visitor
    ) -> None:
        async with running_provider() as other:
            provider.redirects_token_to = f"{other.issuer}/token"
            assert NOT_CONFIRMED in await linked.get(LOGIN)
            assert other.redeemed == []

    async def test_one_that_is_away_says_so_and_recovers(
        self, world: World, provider: Provider, visitor: Visitor
    ) -> None:
        provider.is_away = True
        assert NOT_CONFIRMED in await visitor.get(LOGIN)
        provider.is_away = False
        world.clock.advance(6)
        assert "linked with no user" in await visitor.get(LOGIN)

    async def test_new_keys_are_found_but_not_looked_for_all_the_time(
        self, world: World, provider: Provider, linked: Visitor
    ) -> None:
        looks = provider.key_looks
        provider.keys.append(new_key("k2"))
        world.clock.advance(61)
        await linked.get(LOGIN)
        assert linked.at == "/"
        provider.signs_with = new_key("k3")
        for _ in range(5):
            assert NOT_CONFIRMED in await linked.get(LOGIN)
        assert provider.key_looks <= looks + 2


class TestWayBack:
    """An answer counts for the browser that asked, for what it asked, and once."""

    async def test_an_answer_counts_once(self, provider: Provider, linked: Visitor) -> None:
        provider.takes_codes_again = True  # so that it is we who count
        back = await linked.way_back(await linked.way_out(LOGIN))
        assert (await asyncio.gather(*(linked.peek(back) for _ in range(8)))).count("/") == 1
        assert len(provider.redeemed) == 2  # one of them linked

    async def test_a_replayed_code_opens_nothing(self, provider: Provider, linked: Visitor) -> None:
        first = await linked.way_back(await linked.way_out(LOGIN))
        await linked.follow(first)
        assert linked.at == "/"
        code = re.search(r"code=([^&]+)", first)
        assert code is not None
        async with linked.stranger() as stranger:
            second = await stranger.way_back(await stranger.way_out(LOGIN))
            assert NOT_CONFIRMED in await stranger.follow(
                re.sub(r"code=[^&]+", f"code={code[1]}", second)
            )
            assert stranger.cookie == ""
        assert len(provider.redeemed) == 2

    async def test_another_browsers_answer_opens_nothing(self, linked: Visitor) -> None:
        back = await linked.way_back(await linked.way_out(LOGIN))
        async with linked.stranger() as stranger:
            assert "Begin again" in await stranger.follow(back)  # it never went out
            await stranger.way_out(LOGIN)
            assert NOT_CONFIRMED in await stranger.follow(back)  # it went out for something else
            assert stranger.cookie == ""

    async def test_an_answer_of_another_provider_opens_nothing(self, linked: Visitor) -> None:
        back = await linked.way_back(await linked.way_out(LOGIN))
        assert NOT_CONFIRMED in await linked.follow(
            re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fid.example", back)
        )

    async def test_an_answer_that_does_not_say_whose_it_is_opens_nothing(
        self, linked: Visitor
    ) -> None:
        back = await linked.way_back(await linked.way_out(LOGIN))
        assert NOT_CONFIRMED in await linked.follow(re.sub(r"&iss=[^&]+", "", back))

    async def test_a_late_answer_opens_nothing(self, world: World, linked: Visitor) -> None:
        back = await linked.way_back(await linked.way_out(LOGIN))
        world.clock.advance(601)
        assert "Begin again" in await linked.follow(back)

    async def test_a_refusal_there_is_one_here(self, linked: Visitor) -> None:
        back = await linked.way_back(await linked.way_out(LOGIN))
        assert NOT_CONFIRMED in await linked.follow(
            re.sub(r"code=[^&]+", "error=access_denied%0d%0a%1b", back)
        )

    async def test_the_way_out_is_bound_to_this_browser_and_secret(
        self, provider: Provider, visitor: Visitor
    ) -> None:
        await visitor.get(LOGIN)
        await visitor.get(LOGIN)
        first, second = provider.seen
        for name in ("state", "nonce", "code_challenge"):
            assert first[name] != second[name]
            assert len(first[name]) >= 43
        await visitor.get("/login/with/nobody")
        assert visitor.status == 403


class TestLinking:
    async def test_it_takes_the_password(self, provider: Provider, admin: Visitor) -> None:
        await admin.get("/sign-in")
        assert "password is wrong" in await link(admin, "wrong")
        assert provider.seen == []

    async def test_one_account_there_opens_one_here(self, world: World, linked: Visitor) -> None:
        await world.admin.new_user("tina", "rc_user")
        await linked.login("tina", ADMIN_PASSWORD)
        await linked.get("/sign-in")
        assert "linked with a user already" in await link(linked)

    async def test_the_answer_links_only_who_went_out(
        self, world: World, provider: Provider, admin: Visitor
    ) -> None:
        """Somebody's way to link is no way to link, or to let in, somebody else."""
        await world.admin.new_user("tina", "rc_user")
        text = await admin.post("/sign-in/providers/corp", [("password", ADMIN_PASSWORD)])
        found = re.search(r'class="button" href="([^"]+)"', text)
        assert found is not None
        back = await admin.way_back(found[1].replace("&amp;", "&"))
        way_in = admin.cookies["__Host-portal-way-in"]
        await admin.post("/logout")
        await admin.login("tina", ADMIN_PASSWORD)
        assert "__Host-portal-way-in" not in admin.cookies
        both = f"__Host-portal={admin.cookie}; __Host-portal-way-in={way_in}"
        assert "Begin again" in await admin.get(back.removeprefix(admin.url), Cookie=both)
        assert "provider_linked" not in await world.actions()
        assert provider.redeemed == []

    async def test_a_link_ends_with_its_removal(self, world: World, linked: Visitor) -> None:
        await linked.login("admin", ADMIN_PASSWORD)
        await linked.get("/sign-in")
        await linked.post("/sign-in/providers/corp/remove", [("password", "wrong")])
        assert linked.status == 400
        await linked.post("/sign-in/providers/corp/remove", [("password", ADMIN_PASSWORD)])
        assert linked.at == "/sign-in"
        await linked.post("/logout")
        assert "linked with no user" in await linked.get(LOGIN)
        assert "provider_unlinked" in await world.actions()


class TestAnotherUsersLink:
    async def test_an_administrator_removes_it_and_who_came_that_way_is_out(
        self, world: World, admin: Visitor
    ) -> None:
        user, _ = await world.admin.new_user("tina", "rc_user")
        async with admin.stranger() as tina:
            await tina.login("tina", ADMIN_PASSWORD)
            await link(tina)
            text = await admin.get(f"/users/{user}")
            assert "Remove the link with Corp" in text
            text = await admin.post(f"/users/{user}/providers/corp/remove")
            assert "No account of another login service" in text
            await tina.get("/")
            assert tina.at == "/login"
            await tina.get(LOGIN)
            assert tina.status == 403
