"""What there is before anything happens, and a controld that starts on it, again and again."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import sqlite3
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from controld import (
    store_devices,
    store_endpoints,
    store_organisations,
    store_policies,
    store_users,
)
from controld.admissions import Admissions
from controld.audit_notary import Notary
from controld.config import LimitsConfig, RelayConfig, TimesConfig
from controld.coordinator import Coordinator
from controld.fleet import Alone
from controld.link_hub import Hub, RefusedError
from controld.link_server import LinkServer
from controld.metrics import Metrics
from controld.recorder import Recorder
from controld.records import ReleasePolicy, Service
from controld.roles import Role
from controld.schema.endpoints import clients, gateway_policies, gateways
from controld.schema.people import users
from controld.schema.sessions import session_users
from controld.session_keeper import Keeper
from controld.store import StoreUnavailableError
from controld.sweeper import Sweeper
from rclib.runtime.secret import SecretBytes
from rclib.wire.ids import EndpointId, IdentityKey, RelayId
from rclib.wire.session import Protocol
from tests.controld.simulation.checked_store import new_engine
from tests.controld.simulation.ends import HOST, Cable
from tests.controld.simulation.laws import Facts
from tests.controld.simulation.virtual_time import Chance, now_ms

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.controld.simulation.checked_store import Database

TIMES: Final = TimesConfig(lease_s=60, client_grace_s=30, ticket_s=30, answer_s=30)
SWEEP_S: Final = 20
POLICIES: Final = {
    "g-open": ReleasePolicy.OPEN,
    "g-eyes": ReleasePolicy.FOUR_EYES,
    "g-plant": ReleasePolicy.PLANT_RELEASE,
}
USERS: Final = {
    "ada": Role.ADMINISTRATOR,
    "ben": Role.RC_ADMINISTRATOR,
    "tina": Role.RC_USER,
    "tom": Role.RC_USER,
    "eve": Role.AUDITOR,
}
LOG: Final = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))


def key_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@functools.cache
def template() -> sqlite3.Connection:
    """The database at the beginning; the same in every process."""
    engine = new_engine()
    with Chance(0).everywhere(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        _fill(connection)
        connection.exec_driver_sql("COMMIT")
        inner = connection.connection.driver_connection
        assert isinstance(inner, sqlite3.Connection)
        kept = sqlite3.connect(":memory:", check_same_thread=False)
        inner.backup(kept)
    engine.dispose()
    return kept


def _fill(tx: Connection) -> None:
    plant = store_organisations.add_organisation(tx, "plant", 1)

    def enrol(endpoint: str, name: str) -> None:
        key = Ed25519PrivateKey.from_private_bytes(key_of(name)).public_key()
        store_endpoints.enrol(tx, EndpointId(endpoint), IdentityKey(key.public_bytes_raw()), 1)

    for name, role in USERS.items():
        user = store_users.add_user(tx, plant, name, role, "-", 1)
        enrol(store_endpoints.add_client(tx, plant, user.id, f"pc-{name}", 1).id, f"pc-{name}")
    for name, release in POLICIES.items():
        gateway = store_endpoints.add_gateway(tx, plant, name, 1).id
        enrol(gateway, name)
        policy = store_policies.get_policy(tx, gateway)
        store_policies.set_policy(tx, gateway, replace(policy, release=release))
        offers = [Service(protocol=Protocol.TCP, port=502)]
        store_devices.add_device(tx, gateway, "plc", "192.168.1.10", offers, 1)


@functools.cache
def _signer(name: str) -> SecretBytes:
    key = Ed25519PrivateKey.from_private_bytes(key_of(name))
    return SecretBytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@functools.cache
def _admissions() -> Admissions:
    return Admissions(_signer("token"), [RelayConfig(id=RelayId("r0"), url="wss://relay/")])


class Controld:
    """One life of controld, from a start to a crash; put together as `server.open_server` does."""

    def __init__(self, database: Database, chance: Chance) -> None:
        self._database, self._chance = database, chance
        store = database.open_store()
        self.hub = Hub(now_ms, LOG)
        fleet = Alone(self.hub)
        log_key = Ed25519PrivateKey.from_private_bytes(key_of("log"))
        notary = Notary(store, self.hub, log_key, now_ms, LOG)
        keeper = Keeper(store, self.hub, _admissions(), TIMES, now_ms, lambda: None)
        metrics = Metrics(CollectorRegistry())
        self.services: Any = SimpleNamespace(
            store=store,
            recorder=Recorder(store),
            hub=self.hub,
            fleet=fleet,
            admissions=_admissions(),
            coordinator=Coordinator(store, fleet, _admissions(), TIMES, now_ms, notary, keeper),
            keeper=keeper,
            notary=notary,
            metrics=metrics,
            now_ms=now_ms,
            log=LOG,
            config=SimpleNamespace(times=TIMES, limits=LimitsConfig(), host=HOST),
            public_port=443,
        )
        self._links = LinkServer(self.services)
        self._sweeper = Sweeper(store, self.hub, keeper, TIMES, now_ms, metrics, LOG)
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in their order, unlike a set
        self._cables: dict[Cable, None] = {}

    def start(self) -> None:
        self.begin(self._sweep())

    def begin(self, work: Any) -> asyncio.Task[Any]:  # noqa: ANN401 -- a coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, done: asyncio.Task[Any]) -> None:
        self._tasks.pop(done, None)
        if not done.cancelled() and done.exception() is not None:
            self._database.violations.append(f"a fault: {done.exception()!r}")

    def dial(self) -> Cable:
        cable = Cable(self._chance)
        self._cables[cable] = None
        self.begin(self._serve(cable))
        return cable

    def cut_one(self) -> None:
        if self._cables:
            self._chance.one_of(list(self._cables)).cut()

    async def crash(self) -> None:
        """Nothing it was about to do is done; what it was committing may be."""
        for cable in list(self._cables):
            cable.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.services.store.close()

    async def _serve(self, cable: Cable) -> None:
        link: Any = cable
        try:
            await self._links._live(link)  # noqa: SLF001 -- all of `serve` but the socket
        except RefusedError as exc:
            cable.refuse(exc.reason, exc.detail)
        except StoreUnavailableError:
            pass  # it could not even be looked up who this is
        finally:
            cable.finish()
            self._cables.pop(cable, None)

    async def _sweep(self) -> None:
        """As the sweeper does by itself, less often."""
        is_recovered = False
        while True:
            try:
                if not is_recovered:
                    await self._sweeper.recover()
                    is_recovered = True
                await self._sweeper.sweep()
            except StoreUnavailableError:
                pass
            await asyncio.sleep(SWEEP_S)


@dataclass(frozen=True, slots=True)
class Names:
    """Ids by the names used here."""

    users: dict[str, str]
    gateways: dict[str, str]
    clients: dict[str, str]

    @classmethod
    def read(cls, tx: Connection) -> Names:
        def of(table: Any) -> dict[str, str]:  # noqa: ANN401
            return {row.name: row.id for row in tx.execute(select(table.c.name, table.c.id))}

        return cls(of(users), of(gateways), of(clients))


def facts(tx: Connection, controld: Controld | None) -> Facts:
    """The world as a law sees it."""
    assigned: dict[str, set[str]] = {}
    for row in tx.execute(select(session_users)):
        assigned.setdefault(row.session, set()).add(row.user)
    here = {row.gateway: row.release for row in tx.execute(select(gateway_policies))}
    access: dict[str, str | None] = {}
    for gateway in here:
        said = controld.hub.access_of(EndpointId(gateway)) if controld is not None else None
        access[gateway] = said.value if said is not None else None
    found = tx.execute(select(users).where(users.c.disabled_ms.is_(None)))
    return Facts(
        now_ms=now_ms(),
        lease_ms=TIMES.lease_s * 1000,
        access=access,
        policies=here,
        roles={row.id: row.role for row in found},
        assigned=assigned,
        owners={row.id: row.user for row in tx.execute(select(clients))},
    )
