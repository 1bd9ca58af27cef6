"""Instances that come, go, fall silent or do not belong here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import column, func, insert, select, table, update
from sqlalchemy.exc import DBAPIError

from controld.config import ControldConfig
from controld.fleet_shared import APART_MS, SharedFleet
from controld.initialise import CONFIG_NAME
from controld.schema.fleet import instances
from controld.schema.people import organisations
from controld.server import open_server
from controld.store import Store
from controld.store_fleet import newest_change
from controld.store_offline import write_once
from controld.store_postgres import NEWS
from rclib.runtime.clock import ForwardClock, wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.errors import StartError
from rclib.runtime.service import open_context
from rclib.wire.link import LinkRefusal
from tests.controld.fleet.conftest import PROMPT_S, at, eventually, seen
from tests.controld.world import Rig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from controld.store import Tx
    from controld.store_url import PostgresServer
    from tests.controld.world import World

    Pair = tuple[World, World]


@pytest.mark.slow
async def test_nothing_is_missed_while_nobody_can_listen(
    rig: Rig, database: PostgresServer
) -> None:
    """The connections that listen are cut; the next ones are there after a while."""

    listening = table(
        "pg_stat_activity", column("pid"), column("application_name"), column("datname")
    )
    here = listening.c.datname == func.current_database()
    query = select(listening.c.pid).where(listening.c.application_name == NEWS, here)

    def cut(tx: Tx) -> int:
        found = tx.scalars(query).all()
        return sum(tx.scalar(select(func.pg_terminate_backend(pid))) for pid in found)

    assert await write_once(database, cut) == 2
    async with asyncio.timeout(PROMPT_S):
        await rig.granted()

    async def is_listening() -> bool:
        return await write_once(database, lambda tx: len(tx.scalars(query).all())) == 2

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
        async with open_world() as b:
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
        async with open_world() as a:
            gateway = await a.gateway()
            user, technician = await b.admin.new_user("tina", "rc_user")
            client = await a.client(technician)  # so the offer is A's own
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
        async with open_world(signed_in=False):
            pass
    (said,) = refused.value.exceptions
    assert isinstance(said, StartError)
    assert "same host, token_key and audit_key" in str(said)


@pytest.mark.slow
async def test_who_stops_in_the_middle_of_a_change_does_not_hold_up_the_others(
    database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controld.store_postgres.STALL_MS", 500)
    a, b = await Store.open(database), await Store.open(database)

    async def stop_in_the_middle() -> None:
        async with a._backend.writer.begin() as connection:  # noqa: SLF001
            await connection.execute(
                insert(organisations).values(
                    id="o", name="o", is_operator=False, revision=1, created_ms=1
                )
            )
            await b.write(newest_change)

    with pytest.raises(DBAPIError):
        await stop_in_the_middle()
    assert await b.read(lambda tx: tx.scalar(select(organisations.c.id).filter_by(id="o"))) is None
    await a.close()
    await b.close()


@pytest.mark.slow
async def test_a_clock_that_is_behind_follows_the_databases(
    database: PostgresServer, data: Path
) -> None:
    behind = ForwardClock(lambda: wall_ms() - 3_600_000)
    config = load_config(ControldConfig, data / CONFIG_NAME)
    async with (
        open_context("controld", config_dir=data) as ctx,
        open_server(config, ctx, now_ms=behind, catch_up=behind.catch_up),
    ):
        assert abs(behind() - wall_ms()) < APART_MS
