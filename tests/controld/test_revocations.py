"""A session that is over is over at its relays at once, whatever they or controld forget."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from controld.initialise import CONFIG_NAME, issue_certificate
from controld.store_sessions import list_revocable
from rclib.runtime.service import Context, open_context
from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_client import RelayConnection, dial
from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.tunnel.uplink import open_uplink
from rclib.wire.control import SessionEnd, SessionProgress
from rclib.wire.relay import CloseReason
from rclib.wire.session import EndReason, PathKind
from relayd.config import RelaydConfig
from relayd.server import RelayServer
from tests.controld.test_session_releases import change_plan
from tests.controld.world import RELAY, make_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from rclib.wire.control import RelayLeg
    from tests.controld.callers import End
    from tests.controld.world import Rig, World

PROMPT_S = 5
PATIENCE_S = 15


@dataclass
class Site:
    """The relay of the installation under test, which can be stopped and started again."""

    data: Path
    tls: Path
    port: int = 0
    contexts: list[Context] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Context]:
        config = RelaydConfig(
            relay=RELAY.id,
            listen=f"127.0.0.1:{self.port}",
            token_keys=[self.data / "token-key.pub.pem"],
            certificate=self.tls / "cert.pem",
            key=self.tls / "key.pem",
        )
        async with open_context("relayd") as ctx:
            port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            serving = ctx.tasks.create_task(RelayServer(config, ctx).run(port.set_result))
            self.port = await port
            yield ctx
            ctx.stopping.set()
            await serving


class Leg:
    """One leg as rcd and rcc have it."""

    def __init__(self, admission: RelayLeg, end: End) -> None:
        self.core = RelayLegCore(admission.relay, admission.token, Identity(end.key).sign)
        self.connection = RelayConnection(self.core, self)
        self._news = asyncio.Event()

    async def reaches(self, state: LegState) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.core.state is not state:
                self._news.clear()
                await self._news.wait()

    def leg_changed(self, leg: RelayConnection) -> None:
        self._news.set()

    def leg_data(self, segment: int, packets: memoryview) -> None: ...

    def leg_signal(self, payload: bytes) -> None: ...


@pytest.fixture
async def site(data: Path, tmp_path: Path) -> Site:
    """Its relay gets a certificate of controld's own CA, and its address into the configuration."""
    issue_certificate(data, ["127.0.0.1"], tmp_path / "tls")
    made = Site(data, tmp_path / "tls")
    async with made.running():
        pass  # what is wanted is a port that is free
    config = data / CONFIG_NAME
    url = f"wss://127.0.0.1:{made.port}/relay"
    config.write_text(config.read_text().replace(RELAY.url, url))
    return made


@asynccontextmanager
async def revoking(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.server.revoker.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def open_leg(site: Site, admission: RelayLeg, end: End) -> Leg:
    leg = Leg(admission, end)
    await dial(admission.url, leg.connection, open_uplink(str(site.data / "tls/ca.pem")))
    return leg


async def reason_for(site: Site, admission: RelayLeg, end: End) -> CloseReason | None:
    """What one more leg ends with; it is admitted until the relay is told."""
    leg = await open_leg(site, admission, end)
    await leg.reaches(LegState.ENDED)
    return leg.core.end.reason if leg.core.end is not None else None


async def started(rig: Rig) -> tuple[tuple[RelayLeg, End], tuple[RelayLeg, End]]:
    """An active session; what each end may open."""
    offer, grant = await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    return (grant.relays[0], rig.client), (offer.relays[0], rig.gateway)


async def test_both_legs_close_at_once_and_no_token_admits_any_more(site: Site, rig: Rig) -> None:
    async with site.running(), revoking(rig.world):
        ends = await started(rig)
        legs = [await open_leg(site, *end) for end in ends]
        for leg in legs:
            await leg.reaches(LegState.PAIRED)
        ended_at = time.monotonic()
        await rig.client.say(SessionEnd(rig.session, EndReason.TECHNICIAN))
        for leg in legs:
            await leg.reaches(LegState.ENDED)
            assert leg.core.end is not None
            assert leg.core.end.reason is CloseReason.REVOKED
        assert time.monotonic() - ended_at < PROMPT_S
        for end in ends:
            assert await reason_for(site, *end) is CloseReason.REVOKED


async def test_a_relay_that_has_restarted_is_told_again(site: Site, rig: Rig) -> None:
    async with revoking(rig.world):
        ends = await started(rig)
        async with site.running():
            await rig.client.say(SessionEnd(rig.session, EndReason.TECHNICIAN))
            assert await reason_for(site, *ends[0]) is CloseReason.REVOKED
        async with site.running():
            for end in ends:
                assert await reason_for(site, *end) is CloseReason.REVOKED


async def test_a_controld_that_has_restarted_still_knows(
    site: Site,
    open_world: Callable[..., Any],
) -> None:
    async with open_world() as world:
        rig = await make_rig(world)
        ends = await started(rig)
        await rig.client.say(SessionEnd(rig.session, EndReason.TECHNICIAN))
        for end in (rig.gateway, rig.client):
            await end.hang_up()
    async with site.running(), open_world() as world, revoking(world):
        for end in ends:
            assert await reason_for(site, *end) is CloseReason.REVOKED


async def test_a_session_that_may_start_again_is_not_revoked(site: Site, rig: Rig) -> None:
    async with site.running(), revoking(rig.world):
        await started(rig)
        changed = await change_plan(rig, duration_s=1200)
        assert changed.body["state"] == "prepared"
        await rig.gateway.expect(SessionEnd)
        await rig.client.expect(SessionEnd)
        store, clock = rig.world.server.services.store, rig.world.clock
        assert await store.read(lambda tx: list_revocable(tx, clock())) == []
        legs = [await open_leg(site, *end) for end in await started(rig)]
        for leg in legs:
            await leg.reaches(LegState.PAIRED)
        assert await store.read(lambda tx: list_revocable(tx, clock())) == []
        for leg in legs:
            await leg.connection.close()


async def test_once_the_last_token_has_run_out_the_relay_is_left_alone(
    site: Site, rig: Rig
) -> None:
    async with site.running() as relay, revoking(rig.world):
        ends = await started(rig)
        await rig.client.say(SessionEnd(rig.session, EndReason.TECHNICIAN))
        assert await reason_for(site, *ends[0]) is CloseReason.REVOKED

        def closed() -> float:
            name, labels = "relayd_closed_legs_total", {"reason": "done"}
            return relay.metrics.get_sample_value(name, labels) or 0

        rig.world.clock.advance(rig.world.server.services.config.times.lease_s + 1)
        async with asyncio.timeout(PATIENCE_S):
            while not closed():
                # A request, so that the others get their turn.
                await rig.world.state(rig.session)
