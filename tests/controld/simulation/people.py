"""What people ask for: those who know their way, those who err, and those who may not."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from sqlalchemy import select

from controld import api_sessions, api_users, store_users
from controld.api import Call
from controld.api_types import SessionChange, SessionRequest, StartRequest
from controld.errors import DomainError
from controld.records import Actor
from controld.roles import Action, Scope, scope_of
from controld.schema.endpoints import devices
from controld.schema.sessions import session_users, sessions
from controld.store import StoreUnavailableError
from rclib.wire.ids import SessionId
from tests.controld.simulation.virtual_time import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.records import User
    from controld.store import Tx
    from tests.controld.simulation.checked_store import Database
    from tests.controld.simulation.control_plane import Controld, Names
    from tests.controld.simulation.ends import SimClient

S = TypeVar("S", bound=msgspec.Struct)


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


class People:
    """Each step is one thing somebody does."""

    def __init__(
        self,
        database: Database,
        names: Names,
        clients: dict[str, SimClient],
        find_controld: Callable[[], Controld | None],
    ) -> None:
        self.database, self.names, self.clients = database, names, clients
        self.find_controld = find_controld
        self.chance = database.chance
        self.said: list[str] = []
        """What they were answered."""
        self.calls: list[asyncio.Task[None]] = []
        with database.engine.connect() as tx:
            rows = tx.execute(select(devices.c.gateway, devices.c.id))
            self.devices = {row.gateway: row.id for row in rows}

    async def prepare(self) -> None:
        gateway = self.chance.one_of(list(self.names.gateways.values()))
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

    async def request(self) -> None:
        self._ask(api_sessions.request_release, Action.START_SESSIONS)

    async def release(self) -> None:
        self._ask(api_sessions.release, Action.RELEASE_SESSIONS)

    async def refuse(self) -> None:
        self._ask(api_sessions.refuse, Action.RELEASE_SESSIONS)

    async def end(self) -> None:
        self._ask(api_sessions.end, Action.END_SESSIONS)

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

    def _ask(self, handle: Any, needs: Action) -> None:  # noqa: ANN401 -- a handler
        """Somebody asks this for some session."""
        session = self.some_session()
        if session is not None:
            self.call(self.somebody(), needs, handle, None, session)

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
        controld = self.find_controld()
        if controld is None:
            return

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
