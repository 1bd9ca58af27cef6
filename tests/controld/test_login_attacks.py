"""T22 and T23: guessing, and what becomes of a login that is over."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from controld.server import ROUTES
from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.controld.callers import Answer, Api
    from tests.controld.world import World

RIGHT = {"name": "admin", "password": ADMIN_PASSWORD}
WRONG = RIGHT | {"password": "wrong"}


@pytest.fixture
async def totp(world: World) -> pyotp.TOTP:
    """The administrator's authenticator app, confirmed with the code of the step before."""
    started = await world.admin.ok("POST", "/account/totp", {"password": ADMIN_PASSWORD})
    app = pyotp.TOTP(started["secret"])
    code = app.at(world.clock() // 1000 - 30)
    await world.admin.ok("POST", "/account/totp/confirm", {"code": code})
    return app


def now(app: pyotp.TOTP, world: World) -> str:
    return app.at(world.clock() // 1000)


async def login(world: World, **more: Any) -> Answer:  # noqa: ANN401 -- JSON
    return await world.anyone("POST", "/login", RIGHT | more)


class TestBruteForce:
    """T22."""

    async def test_ten_checks_an_account_over_all_paths(self, world: World) -> None:
        """200 guesses at once, by every way in that looks at a secret."""
        ways = (
            ("/login", WRONG, world.anyone),
            ("/password", {"old": "wrong", "new": "a sentence nobody guesses"}, world.admin),
            ("/account/totp", {"password": "wrong"}, world.admin),
            ("/account/totp/confirm", {"code": "000000"}, world.admin),
        )
        answers = await asyncio.gather(
            *(api("POST", path, body) for _ in range(50) for path, body, api in ways)
        )
        assert sum(answer.status in {401, 403} for answer in answers) == 10
        assert sum(answer.status == 429 for answer in answers) == 190

    async def test_codes_are_guessed_no_more_often_than_passwords(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        guesses = [f"{number:06}" for number in range(60)]
        answers = await asyncio.gather(*(login(world, code=guess) for guess in guesses))
        assert sum(answer.status == 401 for answer in answers) == 10
        assert (await login(world, code=now(totp, world))).status == 429

    async def test_the_count_survives_a_restart_and_the_wait_grows(
        self, open_world: Callable[..., Any]
    ) -> None:
        async with open_world() as world:
            for _ in range(10):
                await world.anyone("POST", "/login", WRONG)
        async with open_world(signed_in=False) as world:
            assert (await login(world)).status == 429
            world.clock.advance(601)
            assert (await world.anyone("POST", "/login", WRONG)).status == 401
            refused = await login(world)
            assert (refused.status, "wait 60 s" in refused.body["detail"]) == (429, True)
            world.clock.advance(61)
            assert (await login(world)).status == 200

    async def test_the_owner_is_told_and_it_is_on_record(self, world: World) -> None:
        for _ in range(12):
            await world.anyone("POST", "/login", WRONG)
        assert (await world.actions()).count("login_locked") == 1
        world.clock.advance(601)
        assert (await login(world)).body["failed_logins"] == 10
        assert (await login(world)).body["failed_logins"] == 0

    async def test_who_fails_from_elsewhere_does_not_lock_the_owner_out(self, world: World) -> None:
        device = (await login(world)).body["device"]
        for _ in range(11):
            await world.anyone("POST", "/login", WRONG)
        assert (await login(world)).status == 429
        assert (await login(world, device="made up")).status == 429
        assert (await login(world, device=device)).status == 200
        assert (await login(world)).status == 429  # and that did not start the attacker afresh

    async def test_a_stolen_device_word_has_no_more_guesses_than_any(self, world: World) -> None:
        device = (await login(world)).body["device"]
        wrong = WRONG | {"device": device}
        answers = [await world.anyone("POST", "/login", wrong) for _ in range(12)]
        assert [answer.status for answer in answers] == [401] * 10 + [429] * 2


class TestSecondFactor:
    """TOTP and recovery codes."""

    async def test_a_password_alone_is_no_login_any_more(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        answer = await login(world)
        assert (answer.status, answer.code) == (401, "second_factor_required")
        assert "token" not in answer.body
        assert (await login(world, code=now(totp, world))).status == 200

    async def test_what_is_missing_hears_only_who_knows_the_password(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        answer = await world.anyone("POST", "/login", WRONG)
        assert answer.code == "login_failed"

    async def test_of_many_at_once_one_gets_in_with_a_code(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        code = now(totp, world)
        answers = await asyncio.gather(*(login(world, code=code) for _ in range(8)))
        assert [answer.status for answer in answers].count(200) == 1

    @pytest.mark.parametrize(("steps", "status"), [(-2, 401), (1, 200), (2, 401)])
    async def test_a_clock_may_be_one_step_wrong(
        self, world: World, totp: pyotp.TOTP, steps: int, status: int
    ) -> None:
        code = totp.at(world.clock() // 1000 + 30 * steps)
        assert (await login(world, code=code)).status == status

    async def test_a_code_older_than_the_last_one_used_is_none(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        earlier = now(totp, world)
        assert (await login(world, code=totp.at(world.clock() // 1000 + 30))).status == 200
        assert (await login(world, code=earlier)).status == 401

    async def test_a_recovery_code_opens_once(self, world: World) -> None:
        started = await world.admin.ok("POST", "/account/totp", {"password": ADMIN_PASSWORD})
        code = now(pyotp.TOTP(started["secret"]), world)
        made = await world.admin.ok("POST", "/account/totp/confirm", {"code": code})
        first = made["codes"][0].upper().replace("-", " ")
        assert (await login(world, code=first)).status == 200
        assert (await login(world, code=first)).status == 401
        assert (await world.admin.ok("GET", "/account/factors"))["recovery_codes_left"] == 9
        assert "recovery_code_used" in await world.actions()

    async def test_a_secret_that_was_never_confirmed_asks_for_nothing(self, world: World) -> None:
        await world.admin.ok("POST", "/account/totp", {"password": ADMIN_PASSWORD})
        assert (await login(world)).status == 200

    async def test_removing_it_takes_the_password(self, world: World, totp: pyotp.TOTP) -> None:
        again = await world.admin("POST", "/account/totp", {"password": ADMIN_PASSWORD})
        assert again.code == "has_totp"
        refused = await world.admin("POST", "/account/totp/remove", {"password": "wrong"})
        assert refused.status == 403
        await world.admin.ok("POST", "/account/totp/remove", {"password": ADMIN_PASSWORD})
        assert (await login(world)).status == 200

    async def test_the_secret_cannot_be_read_from_the_database(
        self, world: World, totp: pyotp.TOTP
    ) -> None:
        for file in world.directory.glob("controld.db*"):
            assert totp.secret.encode() not in file.read_bytes()


class TestSessionLifecycle:
    """T23."""

    async def test_each_login_has_an_id_of_its_own(self, world: World) -> None:
        tokens = {(await login(world)).body["token"] for _ in range(3)}
        assert len(tokens | {world.admin.token}) == 4

    @pytest.mark.parametrize("how", ["logout", "password", "disable"])
    async def test_old_ids_are_dead_on_every_route(
        self, open_world: Callable[..., Any], how: str
    ) -> None:
        async with open_world() as world:
            user, tina = await world.admin.new_user("tina", "administrator")
            other = await world.anyone.login("tina", ADMIN_PASSWORD)
            match how:
                case "logout":
                    await tina.ok("POST", "/logout")
                    await other.ok("GET", "/account/factors")
                case "password":
                    change = {"old": ADMIN_PASSWORD, "new": "a sentence nobody guesses"}
                    await other.ok("POST", "/password", change)
                case _:
                    await world.admin.ok("POST", f"/users/{user}/disable")
            await _is_dead(tina)
        async with open_world(signed_in=False) as world:
            await _is_dead(world.anyone.as_(tina.token))  # and stays so over a restart

    async def test_a_login_ends_idle_and_in_any_case_after_its_time(self, world: World) -> None:
        for _ in range(60):  # fourteen hours, never idle
            world.clock.advance(14 * 60)
            last = await world.admin("GET", "/users")
            if last.status != 200:
                break
        assert last.status == 401
        assert world.clock.ahead_ms >= 12 * 3600 * 1000 - 14 * 60 * 1000
        admin = await world.anyone.login("admin", ADMIN_PASSWORD)
        world.clock.advance(15 * 60)
        assert (await admin("GET", "/users")).status == 401


async def _is_dead(api: Api) -> None:
    for route in ROUTES:
        if route.needs.value == "anyone":
            continue
        path = re.sub(r"\{\w+\}", "x", route.path.removeprefix("/api/v1"))
        assert (await api(route.method, path)).status == 401, (route.method, path)
