from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.controld.world import World


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


def _end(world: World) -> Any:  # noqa: ANN401
    from tests.controld.callers import End  # noqa: PLC0415

    return End(world.anyone)
