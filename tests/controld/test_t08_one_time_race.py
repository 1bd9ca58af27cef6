"""T8: fifty at once redeem one thing that works once; exactly one succeeds.

On both databases; on PostgreSQL there are two controlds, each asked by half of the fifty.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from rclib.wire.control import SessionOffer
from tests.controld.callers import ADMIN_PASSWORD, Api, End
from tests.controld.world import use_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from controld.store_url import PostgresServer
    from tests.controld.callers import Answer
    from tests.controld.world import Rig, World

AT_ONCE = 50


@pytest.fixture(params=["sqlite", "postgresql"])
async def worlds(
    request: pytest.FixtureRequest,
    data: Path,
    open_world: Callable[..., Any],
) -> AsyncIterator[list[World]]:
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres").new_database()
        await use_postgres(server, data)
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(open_world())]
        if request.param == "postgresql":
            running.append(await stack.enter_async_context(open_world()))
        yield running


async def race(worlds: list[World], ask: Callable[[Api], Awaitable[Answer]]) -> list[Answer]:
    callers = [worlds[number % len(worlds)].anyone for number in range(AT_ONCE)]
    return await asyncio.gather(*(ask(caller) for caller in callers))


def successes(answers: list[Answer]) -> int:
    assert {answer.status for answer in answers} <= {200, 400, 401, 403, 429}
    return sum(answer.status == 200 for answer in answers)


async def test_t8_an_enrolment_code_enrols_one_of_fifty_thieves(worlds: list[World]) -> None:
    made = await worlds[0].admin.ok("POST", "/gateways", {"name": "press 1"})
    code = made["enrolment_code"]

    async def ask(caller: Api) -> Answer:
        return await caller("POST", "/enrol", End(caller).request(code))

    assert successes(await race(worlds, ask)) == 1
    actions = await worlds[0].actions()
    assert actions.count("enrolment_redeemed") == 1


async def app_of_admin(world: World) -> tuple[pyotp.TOTP, list[str]]:
    started = await world.admin.ok("POST", "/account/totp", {"password": ADMIN_PASSWORD})
    app = pyotp.TOTP(started["secret"])
    confirm = {"code": app.at(world.clock() // 1000)}
    made = await world.admin.ok("POST", "/account/totp/confirm", confirm)
    world.clock.advance(60)
    return app, made["codes"]


@pytest.mark.parametrize("kind", ["totp", "recovery"])
async def test_t8_a_second_factor_opens_once(worlds: list[World], kind: str) -> None:
    app, recovery = await app_of_admin(worlds[0])
    code = app.at(worlds[0].clock() // 1000) if kind == "totp" else recovery[0]
    body = {"name": "admin", "password": ADMIN_PASSWORD, "code": code}
    answers = await race(worlds, lambda caller: caller("POST", "/login", body))
    assert successes(answers) == 1
    assert sum(answer.status == 401 for answer in answers) > 1  # it was a race, not only a limit


async def test_t8_a_ticket_starts_one_of_fifty(rig: Rig) -> None:
    """Two computers of the technician, each with half of them."""
    other = await rig.world.client(rig.technician, "tablet")
    await other.link()
    ticket = await rig.ticket()
    for number in range(AT_ONCE):
        by = (rig.client, other)[number % 2]
        await by.put_body(rig.redeem(ticket, by))
    assert (await rig.gateway.expect(SessionOffer)).session == rig.session
    actions: list[str] = []
    while actions.count("ticket_refused") < AT_ONCE - 1:
        actions = await rig.world.actions()
    assert actions.count("ticket_redeemed") == 1
    assert actions.count("ticket_refused") == AT_ONCE - 1
    await other.hang_up()
