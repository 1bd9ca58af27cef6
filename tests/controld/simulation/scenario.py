"""One seed's story: people, plants, a network, a disk and a controld that crashes, by chance."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import msgspec
from sqlalchemy import select

from controld import api_sessions, api_users, store_audit, store_users
from controld.api import Call
from controld.api_types import SessionChange, SessionRequest, StartRequest
from controld.audit_chain import verify_chain
from controld.errors import DomainError
from controld.records import Actor
from controld.roles import Action, Scope, scope_of
from controld.store import StoreUnavailableError
from controld.store_audit import Wanted
from controld.store_schema import audit, devices, session_users, sessions
from rclib.wire.ids import EndpointId, SessionId
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
from tests.controld.simulation.virtual_time import Chance, VirtualLoop, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.records import User
    from controld.store import Tx

S = TypeVar("S", bound=msgspec.Struct)

STEPS: Final = 18
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


@dataclass(frozen=True, slots=True)
class SimCall(Call):
    """A request without HTTP."""

    given: Any = None
    revision: int = 1

    async def body(self, type_: type[S]) -> S:
        assert isinstance(self.given, type_)
        return self.given

    async def optional_body(self, type_: type[S]) -> S | None:
        return self.given if isinstance(self.given, type_) else None

    async def create(self, kind: type[S], work: Callable[[Tx], S]) -> S:
        del kind
        return await self.services.store.write(work)

    def expected_revision(self) -> int:
        return self.revision


def run(seed: int) -> Outcome:
    """Play one seed; the same seed is the same story, message by message."""
    chance = Chance(seed)
    stack = contextlib.ExitStack()
    with stack, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        stack.enter_context(chance.everywhere())
        stack.enter_context(mock.patch("rclib.tunnel.control_link.wall_ms", now_ms))
        return runner.run(Story(chance).play())


class Story:
    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.controld: Controld | None = None
        self.back = asyncio.Event()
        self.said: list[str] = []
        self.database = Database(
            new_engine(template()), chance, lambda tx: facts(tx, self.controld)
        )
        with self.database.engine.connect() as tx:
            self.names = Names.read(tx)
            self.devices = {
                row.gateway: row.id for row in tx.execute(select(devices.c.gateway, devices.c.id))
            }
        self.gateways = [
            SimGateway(chance, name, EndpointId(self.names.gateways[name]), key_of(name))
            for name in POLICIES
        ]
        self.clients = {
            name: SimClient(
                chance, name, EndpointId(self.names.clients[f"pc-{name}"]), key_of(f"pc-{name}")
            )
            for name in ("ben", "tina", "tom")
        }
        self.calls: list[asyncio.Task[None]] = []

    # The way of a story.

    async def play(self) -> Outcome:
        self.start_controld()
        for gateway in self.gateways:
            self.switch_on(gateway)
        for client in self.clients.values():
            client.plug_in(self.dial, LOG)
        for number in range(STEPS):
            await (self.prepare() if number < 2 else self.step())
            await self.chance.pause(BETWEEN_S)
        await self.settle()
        outcome = self.judge()
        await self.close()
        return outcome

    async def step(self) -> None:
        steps = (
            (self.prepare, 4),
            (self.change, 2),
            (self.ask("request_release", api_sessions.request_release, Action.START_SESSIONS), 1),
            (self.ask("release", api_sessions.release, Action.RELEASE_SESSIONS), 2),
            (self.ask("refuse", api_sessions.refuse, Action.RELEASE_SESSIONS), 1),
            (self.advance, 24),
            (self.start, 4),
            (self.ask("end", api_sessions.end, Action.END_SESSIONS), 2),
            (self.disable, 1),
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
        await asyncio.gather(*self.calls, return_exceptions=True)
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
        told = "\n".join(
            [
                *self.said,
                verdict.head.hex() if hasattr(verdict, "head") else "",
                *map(str, rows.values()),
            ]
        )
        counts = {action: actions.count(action) for action in dict.fromkeys(actions)}
        return Outcome(found, hashlib.sha256(told.encode()).hexdigest(), counts)

    def record(self) -> list[str]:
        with self.database.engine.connect() as tx:
            return [
                row.hash.hex() for row in tx.execute(select(audit.c.hash).order_by(audit.c.seq))
            ]

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

    async def prepare(self) -> None:
        gateway = self.chance.one_of(self.gateways).endpoint
        assigned = [name for name in ("tina", "tom") if self.chance.happens(0.8)]
        window_ms = now_ms() + 200_000 if self.chance.happens(0.2) else None
        plan = {
            "name": "line 3",
            "gateway": gateway,
            "targets": [{"device": self.devices[gateway], "protocol": "tcp", "port": 502}],
            "users": [self.names.users[name] for name in assigned],
            "duration_s": self.chance.one_of([60, 600, 3600]),
            "window_until_ms": window_ms,
        }
        body = msgspec.convert(plan, SessionRequest)
        self.call(self.somebody(), Action.PREPARE_SESSIONS, api_sessions.prepare, body)

    async def change(self) -> None:
        session = self.some_session()
        if session is None:
            return
        plan = {
            "name": "line 4",
            "targets": [{"device": self.devices[session.gateway], "protocol": "tcp", "port": 502}],
            "users": [self.names.users["tom"]],
            "duration_s": 120,
        }
        body = msgspec.convert(plan, SessionChange)
        needs = Action.CHANGE_SESSION_DEVICES
        self.call(self.somebody(), needs, api_sessions.change, body, session)

    def ask(self, name: str, handle: Any, needs: Action) -> Any:  # noqa: ANN401 -- handlers
        async def asked() -> None:
            session = self.some_session()
            if session is not None:
                self.call(self.somebody(), needs, handle, None, session)

        asked.__name__ = name
        return asked

    async def advance(self) -> None:
        """What people who know their way do next with a session."""
        session = self.some_session()
        if session is None:
            return
        waits = session.gateway == self.names.gateways["g-eyes"]
        if session.state == "prepared" and waits:
            needs = Action.START_SESSIONS
            self.call("ada", needs, api_sessions.request_release, None, session)
            await self.chance.pause(2)
        if session.state in {"prepared", "requested"} and waits:
            self.call("ben", Action.RELEASE_SESSIONS, api_sessions.release, None, session)
            await self.chance.pause(2)
        await self.start(session)

    async def start(self, session: Any = None) -> None:  # noqa: ANN401 -- a row
        """Press Start, perhaps on two computers at once; each redeems what it was given."""
        session = session or self.some_session()
        if session is None:
            return
        knows = [name for name in self.clients if self.names.users[name] in self.assigned(session)]
        for _ in range(2 if self.chance.happens(0.2) else 1):
            is_right = bool(knows) and self.chance.happens(0.8)
            name = self.chance.one_of(knows) if is_right else self.somebody()

            async def started(call: Call, name: str = name) -> None:
                made = await api_sessions.start(call)
                ticket = parse_qs(urlsplit(made.link).query)["ticket"][0]
                await self.chance.pause(70 if self.chance.happens(0.2) else 2)
                if name not in self.clients or self.chance.happens(0.1):
                    name = self.chance.one_of(list(self.clients))  # who should not have it
                self.clients[name].redeem(SessionId(session.id), ticket)

            self.call(name, None, started, StartRequest(reason="fault 17"), session)

    async def disable(self) -> None:
        if self.chance.happens(0.6):
            return
        target = self.names.users[self.chance.one_of(["tina", "tom"])]
        self.call("ada", Action.MANAGE_USERS, api_users.disable_user, None, None, user=target)

    # How people reach controld.

    def somebody(self) -> str:
        name: str = self.chance.one_of(
            ["ada", "ada", "ben", "ben", "tina", "tina", "tom", "tom", "eve"]
        )
        return name

    def assigned(self, session: Any) -> set[str]:  # noqa: ANN401 -- a row
        query = select(session_users.c.user).where(session_users.c.session == session.id)
        with self.database.engine.connect() as tx:
            return {row.user for row in tx.execute(query)}

    def some_session(self) -> Any:  # noqa: ANN401 -- a row
        with self.database.engine.connect() as tx:
            rows = tx.execute(select(sessions).order_by(sessions.c.created_ms, sessions.c.id)).all()
        living = [row for row in rows if row.state not in {"ended", "refused", "expired"}]
        if living and self.chance.happens(0.85):
            rows = living
        return self.chance.one_of(rows[-4:]) if rows else None

    def call(
        self,
        name: str,
        needs: Action | None,
        handle: Any,  # noqa: ANN401
        body: Any,  # noqa: ANN401
        session: Any = None,  # noqa: ANN401
        **match: str,
    ) -> None:
        """Ask as the portal does, in a task of its own that may be cancelled anywhere."""
        if self.controld is None:
            return
        controld = self.controld

        async def asking() -> None:
            services = controld.services
            with contextlib.suppress(DomainError, StoreUnavailableError):
                user: User = await services.store.read(
                    lambda tx: store_users.get_user(tx, self.names.users[name])
                )
                is_denied = needs is not None and scope_of(user.role, needs) is Scope.NONE
                if user.disabled or is_denied:
                    return
                if session is not None:
                    match["session"] = session.id
                request: Any = SimpleNamespace(match_info=match)
                actor = Actor(user.id, user.name, "192.0.2.9")
                revision = session.revision if session is not None else 1
                answer = await handle(
                    SimCall(services, request, actor, now_ms(), user, "", body, revision)
                )
                self.said.append(f"{now_ms()} {name} {answer}")

        task = controld.begin(asking())
        self.calls.append(task)
        if self.chance.happens(0.15):
            asyncio.get_running_loop().call_later(self.chance.seconds(0.1), task.cancel)
