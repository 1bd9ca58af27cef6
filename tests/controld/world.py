"""A real controld in this process: TLS, a database on disk, a clock to be moved."""

# ruff: noqa: ANN401 -- JSON bodies are what a test says they are

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from argon2 import Parameters, Type

from controld import store_organisations, store_users
from controld.config import ControldConfig, RelayConfig
from controld.initialise import CONFIG_NAME
from controld.passwords import Passwords
from controld.roles import Role
from controld.server import open_server
from controld.store_offline import write_once
from rclib.runtime.clock import wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.service import open_context
from rclib.wire.access import AccessMode
from rclib.wire.control import GatewayState, SessionAnswer, SessionGrant, SessionOffer, TicketRedeem
from rclib.wire.identity import answer_key_statement, offer_key_statement, sign
from rclib.wire.ids import RelayId, SessionId, TunnelKey
from tests.controld.callers import ADMIN_PASSWORD, Api, End

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.server import Server
    from controld.store import Tx
    from controld.store_url import PostgresServer

CHEAP = Passwords(Parameters(Type.ID, 19, 16, 32, 1, 64, 1))
"""Argon2id with next to no work: what is tested is what it guards."""
RELAY = RelayConfig(id=RelayId("r0"), url="wss://127.0.0.1:4433/")


class Clock:
    """The wall clock, moved forward by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return wall_ms() + self.ahead_ms

    def advance(self, seconds: float) -> None:
        self.ahead_ms += int(seconds * 1000)


@dataclass
class World:
    """One controld and what a test needs around it."""

    server: Server
    clock: Clock
    admin: Api
    anyone: Api
    directory: Path

    async def gateway(self, name: str = "press 1") -> End:
        created = await self.admin.ok("POST", "/gateways", {"name": name})
        return await End(self.anyone).enrol(created["enrolment_code"])

    async def client(self, user: Api, name: str = "laptop") -> End:
        created = await user.ok("POST", "/clients", {"name": name})
        return await End(self.anyone).enrol(created["enrolment_code"])

    async def device(self, gateway: End, name: str = "plc") -> str:
        body = {
            "name": name,
            "address": "192.168.10.5",
            "services": [{"protocol": "tcp", "port": 502}],
        }
        created = await self.admin.ok("POST", f"/gateways/{gateway.endpoint}/devices", body)
        return str(created["id"])

    async def session(self, gateway: End, *users: str, **more: Any) -> SessionId:
        devices = await self.admin.ok("GET", f"/gateways/{gateway.endpoint}/devices")
        device = devices["devices"][0]["id"] if devices["devices"] else await self.device(gateway)
        body = {
            "name": "check the valve",
            "gateway": gateway.endpoint,
            "targets": [{"device": device, "protocol": "tcp", "port": 502}],
            "users": users,
        } | more
        return SessionId((await self.admin.ok("POST", "/sessions", body))["id"])

    async def state(self, session: SessionId) -> dict[str, Any]:
        shown: dict[str, Any] = await self.admin.ok("GET", f"/sessions/{session}")
        return shown

    async def actions(self) -> list[str]:
        page = await self.admin.ok("GET", "/audit?limit=1000")
        return [record["action"] for record in page["records"]]

    async def recorded(self, action: str) -> None:
        """Wait until something is on record; each look is a request, so others get their turn."""
        while action not in await self.actions():
            pass

    async def online(self, gateway: End) -> None:
        await gateway.link()
        await gateway.say(GatewayState(AccessMode.ON))


@dataclass
class Rig:
    """A gateway that is online, a technician with a PC, and a session prepared for them."""

    world: World
    gateway: End
    client: End
    technician: Api
    session: SessionId

    async def moved_to(self, world: World) -> Rig:
        """The same, on a copy of its data that is served by another world; nobody is online."""
        ends = (End(world.anyone, end.key, end.endpoint) for end in (self.gateway, self.client))
        technician = await world.anyone.login("tina", ADMIN_PASSWORD)
        return Rig(world, *ends, technician, self.session)

    async def go_online(self) -> Rig:
        await self.world.online(self.gateway)
        await self.client.link()
        return self

    async def hang_up(self) -> None:
        await self.gateway.hang_up()
        await self.client.hang_up()

    async def ticket(self) -> str:
        started = await self.technician.ok("POST", f"/sessions/{self.session}/start")
        link = urlsplit(str(started["link"]))
        return parse_qs(link.query)["ticket"][0]

    def redeem(self, ticket: str, by: End | None = None, **changes: Any) -> TicketRedeem:
        by = by or self.client
        statement = offer_key_statement(self.session, by.tunnel_key)
        fields = {
            "session": self.session,
            "ticket": ticket,
            "tunnel_key": by.tunnel_key,
            "signature": sign(by.key, statement),
        } | changes
        return TicketRedeem(**fields)

    def answer(self, offer: SessionOffer, **changes: Any) -> SessionAnswer:
        gateway_key = TunnelKey(bytes(reversed(range(32))))
        statement = answer_key_statement(
            self.session, gateway_key, offer.peer.identity_key, offer.peer.tunnel_key
        )
        fields = {
            "session": self.session,
            "tunnel_key": gateway_key,
            "signature": sign(self.gateway.key, statement),
        } | changes
        return SessionAnswer(**fields)

    async def granted(self) -> tuple[SessionOffer, SessionGrant]:
        await self.client.put_body(self.redeem(await self.ticket()))
        offer = await self.gateway.expect(SessionOffer)
        await self.gateway.put_body(self.answer(offer))
        return offer, await self.client.expect(SessionGrant)


async def prepare_rig(world: World) -> Rig:
    """All a rig needs; nobody is online yet."""
    gateway = await world.gateway()
    user, technician = await world.admin.new_user("tina", "rc_user")
    client = await world.client(technician)
    return Rig(world, gateway, client, technician, await world.session(gateway, user))


async def make_rig(world: World) -> Rig:
    return await (await prepare_rig(world)).go_online()


@asynccontextmanager
async def running_world(
    data: Path, clock: Clock, *, signed_in: bool = True
) -> AsyncIterator[World]:
    """Run a controld on this data directory until the block ends."""
    config = load_config(ControldConfig, data / CONFIG_NAME)
    trust = ssl.create_default_context(cafile=data / "tls/ca.pem")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        open_context("controld", config_dir=data) as ctx,
        open_server(config, ctx, now_ms=clock, passwords=CHEAP) as server,
    ):
        anyone = Api(http, f"https://127.0.0.1:{server.endpoint.port}")
        admin = await anyone.login("admin", ADMIN_PASSWORD) if signed_in else anyone
        yield World(server, clock, admin, anyone, data)


async def use_postgres(server: PostgresServer, data: Path) -> None:
    """Let this configuration's database be there, with its administrator."""

    def fill(tx: Tx) -> None:
        organisation = store_organisations.add_organisation(tx, "Plant One", 1)
        store_users.add_user(tx, organisation, "admin", Role.ADMINISTRATOR, "", 1)
        give_password(tx)

    await write_once(server, fill)
    shown = server.url.set(drivername="postgresql").render_as_string()
    config = data / CONFIG_NAME
    told = config.read_text(encoding="utf-8")
    config.write_text(told.replace('database = "controld.db"', f'database = "{shown}"'))


def give_password(tx: Tx) -> None:
    """Give the administrator one of their own."""
    admin = store_users.find_user_by_name(tx, "admin")
    assert admin is not None
    store_users.set_password(tx, admin.id, CHEAP.hash_now(ADMIN_PASSWORD), must_change=False)
