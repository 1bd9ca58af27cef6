"""One seed's story: people, plants, a network, a disk and a controld that crashes, by chance."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final
from unittest import mock

from sqlalchemy import select

from controld import store_audit
from controld.audit_chain import verify_chain
from controld.schema.record import audit
from controld.schema.sessions import sessions
from controld.store_audit import Wanted
from rclib.wire.ids import EndpointId
from tests.controld.simulation.checked_store import Database, new_engine
from tests.controld.simulation.control_plane import (
    LOG,
    POLICIES,
    TIMES,
    Controld,
    Names,
    facts,
    key_of,
    template,
)
from tests.controld.simulation.ends import Cable, SimClient, SimGateway
from tests.controld.simulation.laws import OPEN
from tests.controld.simulation.people import People
from tests.controld.simulation.virtual_time import Chance, VirtualLoop, now_ms

STEPS: Final = 18
PREPARED: Final = 2
BETWEEN_S: Final = 12
QUIET_S: Final = 2 * TIMES.lease_s + 30
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to."""

    violations: list[str]
    digest: str
    """Of everything that happened."""
    counts: dict[str, int]
    """Of what went on record."""


def run(seed: int) -> Outcome:
    """Play one seed; the same seed is the same story, message by message."""
    chance = Chance(seed)
    same_clock = mock.patch("rclib.tunnel.control_link.wall_ms", now_ms)
    with chance.everywhere(), same_clock, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(Story(chance).play())


class Story:
    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.controld: Controld | None = None
        self.back = asyncio.Event()
        self.database = Database(
            new_engine(template()), chance, lambda tx: facts(tx, self.controld)
        )
        with self.database.engine.connect() as tx:
            names = Names.read(tx)
        self.gateways = [
            SimGateway(chance, name, EndpointId(names.gateways[name]), key_of(name))
            for name in POLICIES
        ]
        self.clients = {
            name: SimClient(
                chance, name, EndpointId(names.clients[f"pc-{name}"]), key_of(f"pc-{name}")
            )
            for name in ("ben", "tina", "tom")
        }
        self.people = People(self.database, names, self.clients, lambda: self.controld)

    # The way of a story.

    async def play(self) -> Outcome:
        self.start_controld()
        for gateway in self.gateways:
            self.switch_on(gateway)
        for client in self.clients.values():
            client.plug_in(self.dial, LOG)
        for number in range(STEPS):
            await (self.people.prepare() if number < PREPARED else self.step())
            await self.chance.pause(BETWEEN_S)
        await self.settle()
        outcome = self.judge()
        await self.close()
        return outcome

    async def step(self) -> None:
        people = self.people
        steps = (
            (people.prepare, 4),
            (people.change, 2),
            (people.request, 1),
            (people.release, 2),
            (people.refuse, 1),
            (people.advance, 24),
            (people.start, 4),
            (people.end, 2),
            (people.disable, 1),
            (self.switch, 4),
            (self.cut, 1),
            (self.give_up, 1),
            (self.trouble_with_the_disk, 2),
            (self.crash, 2),
        )
        bag = [step for step, weight in steps for _ in range(weight)]
        await self.chance.one_of(bag)()

    async def settle(self) -> None:
        """No more trouble; whatever was begun comes to its end."""
        self.database.fault_share = 0
        if self.controld is None:
            self.start_controld()
        await asyncio.gather(*self.people.calls, return_exceptions=True)
        for gateway in self.gateways:
            if not gateway.is_on:
                self.switch_on(gateway)
        await asyncio.sleep(QUIET_S)

    def judge(self) -> Outcome:
        found = list(self.database.violations)
        with self.database.engine.connect() as tx:
            rows = {row.id: row for row in tx.execute(select(sessions))}
            verdict = verify_chain(store_audit.each_row(tx, Wanted()))
            actions = [row.action for row in tx.execute(select(audit.c.action))]
        if verdict.fault is not None:
            found.append(f"the record is broken: {verdict.fault}")
        for end in (*self.gateways, *self.clients.values()):
            found += end.violations
            for session in end.open:
                if rows[session].state not in OPEN:
                    found.append(f"{end.name} holds {session}, which is {rows[session].state}")
        for row in rows.values():
            holds = any(row.id in gateway.open for gateway in self.gateways)
            if row.state == "active" and not holds:
                found.append(f"{row.id} is active, and no gateway holds it")
        told = "\n".join([*self.people.said, *self.record(), *map(str, rows.values())])
        counts = {action: actions.count(action) for action in dict.fromkeys(actions)}
        return Outcome(found, hashlib.sha256(told.encode()).hexdigest(), counts)

    def record(self) -> list[str]:
        with self.database.engine.connect() as tx:
            rows = tx.execute(select(audit.c.hash).order_by(audit.c.seq))
            return [row.hash.hex() for row in rows]

    async def close(self) -> None:
        ends = (*self.gateways, *self.clients.values())
        tasks = [task for end in ends for task in end.stop()]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.controld is not None:
            await self.controld.crash()
        self.database.engine.dispose()

    # What happens.

    def start_controld(self) -> None:
        self.controld = Controld(self.database, self.chance)
        self.controld.start()
        self.back.set()

    async def dial(self) -> Cable:
        """Whoever wants to be linked while controld is away is so soon after it is back."""
        while self.controld is None:
            await self.back.wait()
            await self.chance.pause(5)
        return self.controld.dial()

    def switch_on(self, gateway: SimGateway) -> None:
        gateway.is_on = True
        gateway.plug_in(self.dial, LOG)

    async def switch(self) -> None:
        gateway = self.chance.one_of(self.gateways)
        if gateway.is_on:
            gateway.switch_off()
        else:
            self.switch_on(gateway)

    async def cut(self) -> None:
        if self.controld is not None:
            self.controld.cut_one()

    async def give_up(self) -> None:
        self.chance.one_of(list(self.clients.values())).give_up()

    async def trouble_with_the_disk(self) -> None:
        self.database.fault_share = 0.0 if self.database.fault_share else 0.1

    async def crash(self) -> None:
        """Away for a moment, or for a day."""
        if self.controld is not None:
            gone, self.controld = self.controld, None
            self.back.clear()
            await gone.crash()
            before = {id(end): dict(end.open) for end in self.gateways}
            await asyncio.sleep(DAY_S if self.chance.happens(0.1) else self.chance.seconds(300))
            for gateway in self.gateways:
                for session, until_ms in gateway.open.items():
                    if until_ms > before[id(gateway)].get(session, until_ms):
                        gateway.violations.append(f"{session} was extended without controld")
            self.start_controld()
