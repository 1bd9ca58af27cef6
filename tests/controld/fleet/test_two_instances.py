"""What happens at one instance holds at the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from controld import cli
from controld.initialise import CONFIG_NAME
from controld.schema.fleet import letters
from controld.store_offline import read_offline
from rclib.wire.access import AccessMode
from rclib.wire.control import GatewayState, SessionEnd, SessionOffer, SessionProgress
from rclib.wire.link import LinkRefusal
from rclib.wire.session import EndReason, PathKind
from tests.controld.fleet.conftest import PROMPT_S, active, at, eventually, refusal, seen
from tests.controld.test_api_events import reading

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from controld.store_url import PostgresServer
    from tests.controld.world import Rig, World

    Pair = tuple[World, World]


async def test_a_start_at_one_instance_reaches_a_gateway_at_the_other(rig: Rig, pair: Pair) -> None:
    async with asyncio.timeout(PROMPT_S):
        offer, grant = await rig.granted()
    assert (offer.session, grant.session) == (rig.session, rig.session)
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    assert (await pair[0].state(rig.session))["state"] == "active"


@pytest.mark.slow
async def test_letters_that_have_arrived_are_not_kept(rig: Rig, database: PostgresServer) -> None:
    await rig.granted()

    async def is_empty() -> bool:
        await rig.world.admin.ok("GET", "/gateways")
        found = await asyncio.to_thread(
            read_offline, database, lambda tx: tx.execute(letters.select()).all()
        )
        return not found

    await eventually(is_empty)


@pytest.mark.slow
async def test_an_end_at_one_instance_closes_at_the_other(rig: Rig) -> None:
    await active(rig)
    async with asyncio.timeout(PROMPT_S):
        await rig.world.admin.ok("POST", f"/sessions/{rig.session}/end")
        end = await rig.gateway.expect(SessionEnd)
    assert (end.session, end.reason) == (rig.session, EndReason.ADMINISTRATOR)


async def test_a_user_disabled_at_one_instance_is_gone_from_the_other(rig: Rig, pair: Pair) -> None:
    await active(rig)
    a, _ = pair
    users = (await a.admin.ok("GET", "/users"))["users"]
    (tina,) = [user["id"] for user in users if user["name"] == "tina"]
    async with asyncio.timeout(PROMPT_S):
        await a.admin.ok("POST", f"/users/{tina}/disable")
        assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.USER_DISABLED
        assert await refusal(rig.client) is LinkRefusal.UNKNOWN
    assert (await rig.technician("GET", "/sessions")).status == 401


@pytest.mark.slow
async def test_a_login_that_ends_at_one_instance_is_over_at_the_other(pair: Pair) -> None:
    a, b = pair
    there = b.anyone.as_(a.admin.token)
    await there.ok("GET", "/users")
    async with asyncio.timeout(PROMPT_S):
        await a.admin.ok("POST", "/logout")
        assert (await there("GET", "/users")).status == 401


@pytest.mark.slow
async def test_failures_to_log_in_are_counted_over_both_instances(pair: Pair) -> None:
    def guess(world: World) -> Awaitable[Any]:
        return world.anyone("POST", "/login", {"name": "admin", "password": "a guess of mine"})

    answers = [await guess(pair[number % 2]) for number in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]


async def test_a_newer_link_at_one_instance_closes_the_older_at_the_other(
    rig: Rig, pair: Pair
) -> None:
    """What the old link left unanswered comes on the new one."""
    ticket = await rig.ticket()
    await rig.client.put_body(rig.redeem(ticket))
    unanswered = await rig.gateway.message()
    assert isinstance(unanswered.body, SessionOffer)
    old = rig.gateway.socket
    await at(pair[1], rig.gateway).link()
    rig.gateway.socket, new = old, rig.gateway.socket
    assert (await rig.gateway.refused()).reason is LinkRefusal.REPLACED
    rig.gateway.socket = new
    again = await rig.gateway.message()
    assert (again.id, again.body) == (unanswered.id, unanswered.body)
    actions = await pair[0].actions()
    assert actions.count("link_closed") == 0


async def test_what_a_link_says_counts_only_as_long_as_it_is_the_link(
    rig: Rig, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A has not heard yet that the gateway is at B by now."""
    await active(rig)
    a, b = pair
    fleet = a.server.services.fleet
    monkeypatch.setattr(fleet, "_heed", lambda _: None)
    old = rig.gateway.socket
    await at(b, rig.gateway).link()
    await rig.gateway.say(GatewayState(AccessMode.ON, sessions=(rig.session,)))
    rig.gateway.socket, new = old, rig.gateway.socket
    await rig.gateway.put_body(GatewayState(AccessMode.ON))  # said before the session was open
    assert await refusal(rig.gateway) is LinkRefusal.REPLACED
    rig.gateway.socket = new
    assert (await b.state(rig.session))["state"] == "active"


@pytest.mark.slow
async def test_a_gateway_enrolled_anew_at_one_instance_loses_its_link_at_the_other(
    pair: Pair,
) -> None:
    a, b = pair
    gateway = await a.gateway()
    await a.online(gateway)
    issued = await b.admin.ok("POST", f"/gateways/{gateway.endpoint}/enrolment")
    thief = type(gateway)(b.anyone)
    async with asyncio.timeout(PROMPT_S):
        await thief.enrol(issued["enrolment_code"])
        assert (await gateway.refused()).reason is LinkRefusal.UNKNOWN
    await seen(b, gateway, online=False)


@pytest.mark.slow
async def test_live_state_at_one_instance_shows_what_changes_at_the_other(pair: Pair) -> None:
    a, b = pair
    gateway = await a.gateway()
    async with reading(b.admin) as reader:
        await a.online(gateway)
        assert (await reader.event())[1]["action"] == "link_opened"
        await seen(b, gateway, online=True)
        (shown,) = (await b.admin.ok("GET", "/gateways"))["gateways"]
        assert (shown["access"], shown["software"]) == ("on", "test")
        await gateway.hang_up()
        assert (await reader.event())[1]["action"] == "link_closed"
    await seen(b, gateway, online=False)


@pytest.mark.slow
async def test_both_write_one_record_that_verifies(
    pair: Pair, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(world: World, name: str) -> None:
        for number in range(20):
            await world.admin.ok("POST", "/gateways", {"name": f"{name} {number}"})
            await world.anyone(
                "POST", "/login", {"name": f"nobody {name} {number}", "password": "x"}
            )

    await asyncio.gather(*(work(world, name) for world, name in zip(pair, "ab", strict=True)))
    arguments = ["audit", "verify", "--config", str(data / CONFIG_NAME)]
    assert await asyncio.to_thread(cli.main, arguments) == 0, capsys.readouterr()
