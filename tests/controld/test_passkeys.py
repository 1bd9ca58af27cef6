"""Passkeys, with an authenticator in software."""

# ruff: noqa: ANN401 -- JSON bodies are what a test says they are

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controld import passkeys
from tests.controld.authenticator import PRESENT, Authenticator, spell
from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.controld.callers import Answer
    from tests.controld.world import World


@pytest.fixture
def finger(world: World) -> Authenticator:
    return Authenticator(f"https://localhost:{world.server.endpoint.port}")


async def register(world: World, finger: Authenticator, **changes: Any) -> Answer:
    asked = await world.admin.ok("POST", "/account/passkeys/options", {"password": ADMIN_PASSWORD})
    body = {"name": "key", "credential": finger.create(asked["options"], **changes)}
    return await world.admin("POST", "/account/passkeys", body)


async def answered(world: World, finger: Authenticator, **changes: Any) -> dict[str, str]:
    asked = await world.anyone.ok("POST", "/login/passkey/options")
    return {"credential": finger.get(asked["options"], **changes)}


async def login(world: World, finger: Authenticator, **changes: Any) -> Answer:
    return await world.anyone("POST", "/login/passkey", await answered(world, finger, **changes))


async def test_a_passkey_lets_its_user_in(world: World, finger: Authenticator) -> None:
    assert (await register(world, finger)).status == 204
    answer = await login(world, finger)
    assert answer.status == 200
    await world.anyone.as_(answer.body["token"]).ok("GET", "/users")
    records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
    assert records[-1]["detail"] == {"by": "passkey"}


async def test_it_opens_while_guesses_have_shut_the_account(
    world: World, finger: Authenticator
) -> None:
    await register(world, finger)
    wrong = {"name": "admin", "password": "wrong"}
    for _ in range(11):
        last = await world.anyone("POST", "/login", wrong)
    assert last.status == 429
    assert (await login(world, finger)).body["failed_logins"] == 10


async def test_an_answer_opens_once(world: World, finger: Authenticator) -> None:
    await register(world, finger)
    finger.count = -1  # authenticators without a counter always say 0
    body = await answered(world, finger)
    answers = await asyncio.gather(
        *(world.anyone("POST", "/login/passkey", body) for _ in range(8))
    )
    assert [answer.status for answer in answers].count(200) == 1


async def test_a_copied_passkey_is_noticed_by_its_counter(
    world: World, finger: Authenticator
) -> None:
    await register(world, finger)
    assert (await login(world, finger)).status == 200
    finger.count = 0
    assert (await login(world, finger)).status == 401
    assert "login_failed" in await world.actions()


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://evil.example"},
        {"type": "payment.get"},
        {"challenge": spell(bytes(60))},
    ],
)
async def test_an_answer_to_another_question_opens_nothing(
    world: World, finger: Authenticator, changes: dict[str, str]
) -> None:
    await register(world, finger)
    assert (await login(world, finger, **changes)).status == 401
    assert (await register(world, Authenticator(finger.origin), **changes)).status == 403


async def test_without_finger_or_pin_it_is_no_passkey(world: World, finger: Authenticator) -> None:
    await register(world, finger)
    finger.flags = PRESENT
    assert (await login(world, finger)).status == 401
    other = Authenticator(finger.origin, flags=PRESENT)
    assert (await register(world, other)).status == 403


async def test_a_late_answer_opens_nothing(world: World, finger: Authenticator) -> None:
    await register(world, finger)
    body = await answered(world, finger)
    world.clock.advance(301)
    assert (await world.anyone("POST", "/login/passkey", body)).status == 401


async def test_one_users_question_enrols_nothing_for_another(
    world: World, finger: Authenticator
) -> None:
    _, tina = await world.admin.new_user("tina", "rc_user")
    asked = await tina.ok("POST", "/account/passkeys/options", {"password": ADMIN_PASSWORD})
    body = {"name": "key", "credential": finger.create(asked["options"])}
    assert (await world.admin("POST", "/account/passkeys", body)).status == 403
    assert (await tina("POST", "/account/passkeys", body)).status == 204
    assert (await tina("POST", "/account/passkeys", body)).status == 403  # once


async def test_a_disabled_users_passkey_opens_nothing(world: World) -> None:
    finger = Authenticator(f"https://localhost:{world.server.endpoint.port}")
    user, tina = await world.admin.new_user("tina", "rc_user")
    asked = await tina.ok("POST", "/account/passkeys/options", {"password": ADMIN_PASSWORD})
    await tina.ok("POST", "/account/passkeys", {
        "name": "key", "credential": finger.create(asked["options"]),
    })  # fmt: skip
    await world.admin.ok("POST", f"/users/{user}/disable")
    assert (await login(world, finger)).status == 401


async def test_removing_one_takes_the_password(world: World, finger: Authenticator) -> None:
    await register(world, finger)
    (view,) = (await world.admin.ok("GET", "/account/passkeys"))["passkeys"]
    path = f"/account/passkeys/{view['id']}/remove"
    assert (await world.admin("POST", path, {"password": "wrong"})).status == 403
    await world.admin.ok("POST", path, {"password": ADMIN_PASSWORD})
    assert (await world.admin("POST", path, {"password": ADMIN_PASSWORD})).status == 404
    assert (await login(world, finger)).status == 401


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SITE = passkeys.Site("localhost", "https://localhost")
KNOWN = passkeys.Passkey(b"a", b"\xa1\x01\x02", 0)


@given(st.text() | json_values.map(json.dumps))
def test_no_text_makes_more_of_it_than_a_refusal(text: str) -> None:
    assert passkeys.read_answer(text) is None


@given(st.dictionaries(
    st.sampled_from(["id", "rawId", "type", "response", "authenticatorAttachment"]), json_values
), json_values, json_values)  # fmt: skip
def test_no_credential_makes_more_of_it_than_a_refusal(
    fields: dict[str, Any], first: Any, second: Any
) -> None:
    response = {"clientDataJSON": first, "authenticatorData": second, "signature": first,
                "attestationObject": second}  # fmt: skip
    for text in (json.dumps(fields), json.dumps({"id": "YQ", "rawId": "YQ", "type": "public-key",
                                                  "response": response})):  # fmt: skip
        answer = passkeys.Answer(text, b"a", b"b")
        assert passkeys.check_login(answer, KNOWN, SITE) is None
        assert passkeys.check_registration(answer, SITE) is None
