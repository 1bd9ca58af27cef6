"""Two controlds on one PostgreSQL, in one process: what happens at one holds at the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text, update

from controld import cli
from controld.fleet_shared import SharedFleet
from controld.initialise import CONFIG_NAME
from controld.store_offline import read_offline, write_once
from controld.store_schema import instances, letters
from rclib.runtime.errors import StartError
from rclib.wire.access import AccessMode
from rclib.wire.control import (
    GatewayState,
    LinkRefusal,
    LinkRefused,
    SessionEnd,
    SessionOffer,
    SessionProgress,
)
from rclib.wire.session import EndReason, PathKind
from tests.controld.conftest import Rig, use_postgres
from tests.controld.test_api_events import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from controld.store import Tx
    from controld.store_url import PostgresServer
    from testbed.postgres import Postgres
    from tests.controld.conftest import End, World

    Pair = tuple[World, World]

PROMPT_S = 5
"""What the plant is promised for an end, a disabled user and a lost link (issue 7)."""


@pytest.fixture
async def database(postgres: Postgres, data: Path, one_time_password: str) -> PostgresServer:
    server = postgres.new_database()
    await use_postgres(server, data, one_time_password)
    return server


@pytest.fixture
async def pair(database: PostgresServer, open_world: Callable[..., Any]) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(open_world())
        b = await stack.enter_async_context(open_world(signed_in=True))
        yield a, b


@pytest.fixture
async def rig(pair: Pair) -> AsyncIterator[Rig]:
    """A gateway linked at A, its technician and everybody's requests at B."""
    a, b = pair
    gateway = await a.gateway()
    user, technician = await b.admin.new_user("tina", "rc_user")
    client = await b.client(technician)
    session = await b.session(gateway, user)
    await a.online(gateway)
    await client.link()
    await seen(b, gateway, online=True)
    yield Rig(b, gateway, client, technician, session)
    await gateway.hang_up()
    await client.hang_up()


async def eventually(look: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    """Wait for a condition; each look is a request, so others get their turn."""
    async with asyncio.timeout(within_s):
        while not await look():
            pass


async def seen(world: World, gateway: End, *, online: bool) -> None:
    async def look() -> bool:
        shown = (await world.admin.ok("GET", "/gateways"))["gateways"]
        return any(s["id"] == gateway.endpoint and s["online"] is online for s in shown)

    await eventually(look)


def at(world: World, end: End) -> End:
    """The same end, which from now on dials this instance."""
    end.api = world.anyone
    return end


async def refusal(end: End) -> LinkRefusal:
    """Why a link is closed, whatever else is said on it before."""
    while not isinstance(frame := await end.any_frame(), LinkRefused):
        pass
    return frame.reason


async def active(rig: Rig) -> None:
    await rig.granted()
    await rig.client.say(SessionProgress(rig.session, PathKind.RELAY))
    assert (await rig.world.state(rig.session))["state"] == "active"


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
    async with asyncio.timeout(1):
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


@pytest.mark.slow
async def test_nothing_is_missed_while_nobody_can_listen(
    rig: Rig, database: PostgresServer
) -> None:
    """The connections that listen are cut; the next ones are there after a while."""

    def cut(tx: Tx) -> int:
        killed = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return int(tx.execute(killed).scalar_one())

    assert await write_once(database, cut) == 2
    async with asyncio.timeout(PROMPT_S):
        await rig.granted()

    async def is_listening() -> bool:
        found = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return bool(await write_once(database, lambda tx: tx.scalar(found) == 2))

    await eventually(is_listening)


async def silence(database: PostgresServer, world: World) -> None:
    """As if this instance had said nothing for a long time."""
    me = world.server.services.fleet._elsewhere.me  # type: ignore[attr-defined]  # noqa: SLF001
    said = update(instances).where(instances.c.id == me).values(beat_ms=1)
    await write_once(database, lambda tx: tx.execute(said))


@pytest.mark.slow
async def test_who_was_given_up_lets_go_of_its_links_and_begins_anew(
    pair: Pair, database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    gateway = await a.gateway()
    await a.online(gateway)
    await seen(b, gateway, online=True)
    stalled = asyncio.Event()

    async def stall(_: SharedFleet) -> bool:
        await stalled.wait()
        return False

    with monkeypatch.context() as patch:
        patch.setattr(SharedFleet, "_write", stalled_for(a, stall))
        a.server.services.fleet.wake()  # type: ignore[attr-defined]
        await silence(database, a)
        await b.recorded("link_closed")
        await seen(b, gateway, online=False)
        stalled.set()
        assert (await gateway.refused()).reason is LinkRefusal.SHUTTING_DOWN
    await a.online(gateway)
    await seen(b, gateway, online=True)


def stalled_for(world: World, stall: Callable[[Any], Awaitable[bool]]) -> Callable[..., Any]:
    """`SharedFleet._write` that hangs in one instance and works in the others."""
    work, fleet = SharedFleet._write, world.server.services.fleet  # noqa: SLF001

    async def write(self: SharedFleet) -> bool:
        return await (stall(self) if self is fleet else work(self))

    return write


@pytest.mark.slow
async def test_one_of_them_has_the_duties_of_which_there_is_one(
    database: PostgresServer, open_world: Callable[..., Any]
) -> None:
    async with open_world() as a:
        assert a.server.services.fleet.is_alone
        async with open_world(signed_in=True) as b:
            fleets = [world.server.services.fleet for world in (a, b)]
            assert not await is_alone(b)
            assert [fleet.is_first for fleet in fleets] == [True, False]
        await eventually(lambda: is_alone(a))


async def is_alone(world: World) -> bool:
    await world.admin.ok("GET", "/gateways")
    return world.server.services.fleet.is_alone


@pytest.mark.slow
async def test_who_leaves_hands_over_what_is_under_way(
    database: PostgresServer, open_world: Callable[..., Any]
) -> None:
    async with open_world() as b:
        async with open_world(signed_in=True) as a:
            gateway = await a.gateway()
            user, technician = await b.admin.new_user("tina", "rc_user")
            client = await b.client(technician)
            session = await b.session(gateway, user)
            await a.online(gateway)
            await client.link()
            await seen(b, gateway, online=True)
            rig = Rig(b, gateway, client, technician, session)
            await client.put_body(rig.redeem(await rig.ticket()))
            offer = await gateway.message()
        await eventually(lambda: is_alone(b))
        await at(b, gateway).link()
        again = await gateway.message()
        assert (again.id, again.body) == (offer.id, offer.body)
        await client.hang_up()


@pytest.mark.slow
async def test_one_with_other_keys_is_refused(
    pair: Pair, data: Path, open_world: Callable[..., Any]
) -> None:
    config = data / CONFIG_NAME
    told = config.read_text(encoding="utf-8")
    config.write_text(told.replace('host = "localhost"', 'host = "127.0.0.1"'))
    with pytest.raises(ExceptionGroup) as refused:
        async with open_world(signed_in=None):
            pass
    (said,) = refused.value.exceptions
    assert isinstance(said, StartError)
    assert "same host, token_key and audit_key" in str(said)
