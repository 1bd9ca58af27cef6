"""What a fleet costs controld: from Start to the grant with many links, and a long list.

controld is a process of its own, as installed; the ends are real control links in this one. A
start is timed from the request to the grant at the technician's end: HTTPS, the ticket, the offer
to the gateway, its answer and four durable transactions lie between. The same is measured with
one link and with all, the list with few sessions and with many: what grows shows as a ratio.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import statistics
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from sqlalchemy import event, insert, select

from bench.controld_ends import HOST, Gateway, Plant, Technician, identity_of
from controld import (
    store_devices,
    store_endpoints,
    store_organisations,
    store_sessions,
    store_users,
)
from controld.codes import new_id
from controld.config import RelayConfig
from controld.initialise import CONFIG_NAME, Wanted, initialise
from controld.passwords import Passwords
from controld.records import Service, SessionState
from controld.roles import Role
from controld.schema.people import organisations
from controld.schema.sessions import session_targets, session_users, sessions
from controld.store_offline import read_offline, write_offline
from controld.store_url import SqliteFile
from rclib.runtime.clock import wall_ms
from rclib.runtime.net import parse_endpoint
from rclib.wire.ids import EndpointId, IdentityKey, OrganisationId, RelayId, UserId
from rclib.wire.session import Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.store import Tx
    from controld.store_url import Database

FLEET: Final = "Fleet"
USER, PASSWORD = "tina", "a long password for a bench"
PORTION: Final = 50
"""Links opened at once; controld takes 200 strangers at a time."""
PAGE: Final = 100


@dataclass
class Fleet:
    """Who was made, and where controld is."""

    directory: Path
    database: Database
    port: int
    gateways: list[EndpointId] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    client: EndpointId = EndpointId("")  # noqa: RUF009 -- text
    user: UserId = UserId("")  # noqa: RUF009 -- text
    organisation: OrganisationId = OrganisationId("")  # noqa: RUF009 -- text

    @property
    def server(self) -> str:
        return f"https://{HOST}:{self.port}"


@dataclass(frozen=True)
class Times:
    """Milliseconds."""

    p50: float
    p99: float
    worst: float
    count: int


def times(seconds: list[float]) -> Times:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    p50, p99, worst = (round(1000 * each, 2) for each in (cuts[49], cuts[98], max(seconds)))
    return Times(p50, p99, worst, len(seconds))


def prepare(directory: Path, database: Database | None, links: int) -> Fleet:
    """`controld init`, and then a fleet as if people had made it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    initialise(
        Wanted(
            directory=directory,
            host=HOST,
            listen=parse_endpoint(f"127.0.0.1:{port}"),
            also=["127.0.0.1"],
            relays=[RelayConfig(id=RelayId("r0"), url="wss://relay.example/")],
            stun=[],
            organisation="Plant",
            admin="admin",
        ),
        wall_ms(),
    )
    config = directory / CONFIG_NAME
    if database is None:
        database = SqliteFile(directory / "controld.db")
    else:
        shown = database.url.set(drivername="postgresql").render_as_string()
        told = config.read_text().replace('database = "controld.db"', f'database = "{shown}"')
        config.write_text(told)
    fleet = Fleet(directory, database, port)
    password_hash = Passwords().hash_now(PASSWORD)
    write_offline(database, lambda tx: _fill(tx, fleet, links, password_hash))
    return fleet


def _fill(tx: Tx, fleet: Fleet, links: int, password_hash: str) -> None:
    organisation = fleet.organisation = store_organisations.add_organisation(tx, FLEET, 1)
    user = store_users.add_user(tx, organisation, USER, Role.ADMINISTRATOR, password_hash, 1)
    store_users.set_password(tx, user.id, password_hash, must_change=False)
    fleet.user = user.id
    client = store_endpoints.add_client(tx, organisation, user.id, "laptop", 1)
    fleet.client = EndpointId(client.id)
    store_endpoints.enrol(tx, fleet.client, IdentityKey(identity_of("laptop").public), 1)
    offers = [Service(protocol=Protocol.TCP, port=502)]
    for number in range(links):
        name = f"press {number}"
        gateway = store_endpoints.add_gateway(tx, organisation, name, 1).id
        store_endpoints.enrol(tx, EndpointId(gateway), identity_of(name).public, 1)
        device = store_devices.add_device(tx, gateway, "plc", "192.168.1.10", offers, 1)
        fleet.gateways.append(EndpointId(gateway))
        fleet.devices.append(device.id)


def add_past_sessions(fleet: Fleet, count: int) -> None:
    """Sessions of the last years, evenly over the gateways."""
    first_ms = wall_ms() - count * 60_000

    def work(tx: Tx) -> None:
        for begin in range(0, count, 1000):
            rows, targets, users = [], [], []
            for number in range(begin, min(begin + 1000, count)):
                at = number % len(fleet.gateways)
                session, created_ms = new_id("ses"), first_ms + number * 60_000
                rows.append(
                    {
                        "id": session,
                        "organisation": fleet.organisation,
                        "gateway": fleet.gateways[at],
                        "name": f"visit {number}",
                        "reason": "drive reports fault 17",
                        "reference": "",
                        "revision": 1,
                        "duration_s": 3600,
                        "created_by": fleet.user,
                        "created_ms": created_ms,
                        "state": SessionState.ENDED.value,
                        "started_by": fleet.user,
                        "started_ms": created_ms,
                        "started_from": "192.0.2.1",
                        "asked_plant": False,
                        "answered": True,
                        "ended_ms": created_ms + 600_000,
                        "end_reason": "technician",
                        "region": "main",
                    }
                )
                device = {"device": fleet.devices[at], "protocol": "tcp", "port": 502}
                targets.append({"session": session, "position": 0, **device})
                users.append({"session": session, "user": fleet.user})
            tx.execute(insert(sessions), rows)
            tx.execute(insert(session_targets), targets)
            tx.execute(insert(session_users), users)

    write_offline(fleet.database, work)


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[None]:
    """Controld as a process; returns once it serves."""
    command = (sys.executable, "-m", "controld", "--config", str(fleet.directory / CONFIG_NAME))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", fleet.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        if process.returncode is not None:
            raise SystemExit(f"controld ended with {process.returncode}")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass
class Api:
    http: aiohttp.ClientSession
    base: str

    async def __call__(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401
        async with self.http.request(method, f"{self.base}/api/v1{path}", json=body) as answer:
            found = await answer.read()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise SystemExit(f"{method} {path}: {answer.status} {found[:300]!r}")
            return json.loads(found) if found else None


@asynccontextmanager
async def logged_in(fleet: Fleet) -> AsyncIterator[Api]:
    trust = ssl.create_default_context(cafile=fleet.directory / "tls/ca.pem")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        api = Api(http, fleet.server)
        made = await api("POST", "/login", {"name": USER, "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {made['token']}"
        yield api


async def start_to_grant(fleet: Fleet, links: int, starts: int) -> Times:
    """Start sessions one after the other, with so many gateways linked."""
    plant = Plant(fleet.server, fleet.directory / "tls/ca.pem")
    chosen = random.Random(1)  # noqa: S311 -- which gateway
    gateways = [
        Gateway(plant, endpoint, f"press {number}")
        for number, endpoint in enumerate(fleet.gateways[:links])
    ]
    technician = Technician(plant, fleet.client)
    tasks: list[asyncio.Task[None]] = []
    try:
        for begin in range(0, links, PORTION):
            portion = gateways[begin : begin + PORTION]
            tasks += [asyncio.create_task(each.link.run()) for each in portion]
            await asyncio.gather(*(each.is_told.wait() for each in portion))
        tasks.append(asyncio.create_task(technician.link.run()))
        await technician.is_told.wait()
        async with logged_in(fleet) as api:
            seconds = [
                await _one_start(fleet, api, technician, chosen.randrange(links))
                for _ in range(starts)
            ]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return times(seconds)


async def _one_start(fleet: Fleet, api: Api, technician: Technician, at: int) -> float:
    plan = {
        "name": "line 3",
        "gateway": fleet.gateways[at],
        "targets": [{"device": fleet.devices[at], "protocol": "tcp", "port": 502}],
        "users": [fleet.user],
    }
    session = (await api("POST", "/sessions", plan))["id"]
    granted = technician.grants[session] = asyncio.get_running_loop().create_future()
    pressed = time.perf_counter()
    link = (await api("POST", f"/sessions/{session}/start"))["link"]
    technician.redeem(session, parse_qs(urlsplit(link).query)["ticket"][0])
    took: float = await granted - pressed
    await api("POST", f"/sessions/{session}/end")
    return took


async def list_pages(fleet: Fleet, requests: int) -> dict[str, Times]:
    """The first page, and pages further and further behind it by cursor."""
    first: list[float] = []
    behind: list[float] = []
    async with logged_in(fleet) as api:
        cursor = ""
        for _ in range(requests):
            for into, more in ((first, ""), (behind, f"&cursor={cursor}" if cursor else "")):
                begin = time.perf_counter()
                page = await api("GET", f"/sessions?limit={PAGE}{more}")
                into.append(time.perf_counter() - begin)
            cursor = page.get("next") or ""
    return {"first_page": times(first), "page_by_cursor": times(behind)}


def list_plan(database: Database) -> list[str]:
    """How the database finds the sessions of a page, in its own words."""

    def explain(tx: Tx) -> list[str]:
        asked: list[tuple[str, Any]] = []

        def note(*given: Any) -> None:  # noqa: ANN401 -- connection, cursor, statement, …
            asked.append((given[2], given[3]))

        found = tx.scalar(select(organisations.c.id).where(organisations.c.name == FLEET))
        organisation, cursor = OrganisationId(found or ""), f"{wall_ms()}.ses_x"
        event.listen(tx, "before_cursor_execute", note)
        store_sessions.list_sessions(tx, organisation, store_sessions.Wanted(), PAGE, cursor)
        event.remove(tx, "before_cursor_execute", note)
        statement, parameters = asked[0]
        words = "EXPLAIN QUERY PLAN" if isinstance(database, SqliteFile) else "EXPLAIN"
        rows = tx.exec_driver_sql(f"{words} {statement}", parameters).all()
        return [str(row[-1]).strip() for row in rows]

    return read_offline(database, explain)
