"""A real controld in this process: TLS, a database on disk, and ends that speak the protocol."""

# ruff: noqa: ANN401 -- JSON bodies are what a test says they are

from __future__ import annotations

import shutil
import ssl
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest
from argon2 import Parameters, Type
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controld import store_organisations, store_users
from controld.codes import new_id
from controld.config import ControldConfig, RelayConfig
from controld.initialise import CONFIG_NAME, Wanted, initialise
from controld.passwords import Passwords
from controld.roles import Role
from controld.server import open_server
from controld.store_offline import write_offline, write_once
from controld.store_url import SqliteFile
from rclib.runtime.clock import wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.net import parse_endpoint
from rclib.runtime.service import open_context
from rclib.wire.access import AccessMode
from rclib.wire.control import (
    AuditHead,
    Body,
    GatewayState,
    SessionAnswer,
    SessionGrant,
    SessionOffer,
    SessionRelays,
    TicketRedeem,
)
from rclib.wire.control_http import EnrolRequest
from rclib.wire.identity import (
    answer_key_statement,
    enrol_statement,
    link_statement,
    offer_key_statement,
    sign,
)
from rclib.wire.ids import (
    EndpointId,
    IdentityKey,
    MessageId,
    Nonce,
    RelayId,
    SessionId,
    Signature,
    TunnelKey,
)
from rclib.wire.link import (
    LINK_VERSION,
    Ack,
    LinkChallenge,
    LinkFrame,
    LinkHello,
    LinkRefused,
    LinkWelcome,
    Message,
    decode_link,
    encode_link,
)
from testbed.postgres import find_postgres, running_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from controld.server import Server
    from controld.store import Tx
    from controld.store_url import PostgresServer
    from testbed.postgres import Postgres

F = TypeVar("F", bound=LinkFrame)
M = TypeVar("M", bound=Body)
CHEAP = Passwords(Parameters(Type.ID, 19, 16, 32, 1, 64, 1))
"""Argon2id with next to no work: what is tested is what it guards."""
ADMIN_PASSWORD = "correct horse battery"
RELAY = RelayConfig(id=RelayId("r0"), url="wss://127.0.0.1:4433/")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `controld init` makes it, with a password of the administrator's own."""
    directory = tmp_path_factory.mktemp("controld") / "data"
    wanted = Wanted(
        directory=directory,
        host="localhost",
        listen=parse_endpoint("127.0.0.1:0"),
        also=["127.0.0.1"],
        relays=[RELAY],
        stun=["127.0.0.1:3478"],
        organisation="Plant One",
        admin="admin",
    )
    initialise(wanted, wall_ms())

    write_offline(SqliteFile(directory / "controld.db"), _set_password)
    return directory


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server, one for all tests; each takes a database of its own."""
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgres() as server:
        yield server


async def use_postgres(server: PostgresServer, data: Path) -> None:
    """Let this configuration's database be there, with its administrator."""

    def fill(tx: Tx) -> None:
        organisation = store_organisations.add_organisation(tx, "Plant One", 1)
        store_users.add_user(tx, organisation, "admin", Role.ADMINISTRATOR, "", 1)
        _set_password(tx)

    await write_once(server, fill)
    shown = server.url.set(drivername="postgresql").render_as_string()
    config = data / CONFIG_NAME
    told = config.read_text(encoding="utf-8")
    config.write_text(told.replace('database = "controld.db"', f'database = "{shown}"'))


class Clock:
    """The wall clock, moved forward by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return wall_ms() + self.ahead_ms

    def advance(self, seconds: float) -> None:
        self.ahead_ms += int(seconds * 1000)


@dataclass
class Answer:
    """An API answer."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass
class Api:
    """The API as one caller."""

    http: aiohttp.ClientSession
    base: str
    token: str = ""

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers: dict[str, str] = more.pop("headers", {})
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}"} | headers
        if body is not None:
            more["json"] = body
        url = f"{self.base}/api/v1{path}"
        async with self.http.request(method, url, headers=headers, **more) as response:
            is_json = response.content_type.endswith("json")
            return Answer(
                response.status,
                await response.json(content_type=None) if is_json else None,
                response.headers,
            )

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self(method, path, body)
        assert answer.status in {200, 201, 204}, answer
        return answer.body

    def as_(self, token: str) -> Api:
        return Api(self.http, self.base, token)

    async def login(self, name: str, password: str) -> Api:
        answer = await Api(self.http, self.base).ok(
            "POST", "/login", {"name": name, "password": password}
        )
        return self.as_(answer["token"])

    async def first_login(self, name: str, one_time: str, password: str = ADMIN_PASSWORD) -> Api:
        """Log in with a one-time password and replace it."""
        first = await self.login(name, one_time)
        await first.ok("POST", "/password", {"old": one_time, "new": password})
        return await self.login(name, password)

    async def new_user(self, name: str, role: str) -> tuple[str, Api]:
        created = await self.ok("POST", "/users", {"name": name, "role": role})
        return created["user"], await self.first_login(name, created["password"])


@dataclass
class End:
    """A gateway or a technician's PC with its identity."""

    api: Api
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    endpoint: EndpointId = EndpointId("")  # noqa: RUF009 -- text
    tunnel_key: TunnelKey = TunnelKey(bytes(range(32)))  # noqa: RUF009 -- bytes
    heard: deque[Message] = field(default_factory=deque)
    """Messages that came while something else was waited for."""
    socket: aiohttp.ClientWebSocketResponse | None = None

    @property
    def public(self) -> IdentityKey:
        return IdentityKey(self.key.public_key().public_bytes_raw())

    def request(self, code: str, **changes: Any) -> dict[str, Any]:
        signature = sign(self.key, enrol_statement(code, self.public))
        fields = {"code": code, "identity_key": self.public, "signature": signature} | changes
        body: dict[str, Any] = _builtins(EnrolRequest(**fields))
        return body

    async def enrol(self, code: str) -> End:
        answer = await self.api.ok("POST", "/enrol", self.request(code))
        self.endpoint = EndpointId(answer["endpoint"])
        return self

    async def dial(self) -> LinkChallenge:
        url = f"{self.api.base}/api/v1/link"
        self.socket = await self.api.http.ws_connect(url)
        return await self.frame(LinkChallenge)

    async def hello(self, nonce: Nonce, **changes: Any) -> None:
        statement = link_statement(self.endpoint, "localhost", nonce)
        fields: dict[str, Any] = {
            "version": LINK_VERSION,
            "endpoint": self.endpoint,
            "software": "test",
            "signature": sign(self.key, statement),
        } | changes
        await self.put(LinkHello(**fields))

    async def link(self) -> LinkWelcome:
        challenge = await self.dial()
        await self.hello(challenge.nonce)
        return await self.frame(LinkWelcome)

    async def put(self, frame: LinkFrame) -> None:
        assert self.socket is not None
        await self.socket.send_str(encode_link(frame).decode())

    async def frame(self, kind: type[F]) -> F:
        """The next frame, which has to be of this kind."""
        frame = await self.any_frame()
        assert isinstance(frame, kind), frame
        return frame

    async def any_frame(self) -> LinkFrame:
        assert self.socket is not None
        message = await self.socket.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return decode_link(message.data)

    async def closed(self) -> bool:
        assert self.socket is not None
        message = await self.socket.receive(timeout=10)
        return message.type in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
        }

    async def refused(self) -> LinkRefused:
        frame = await self.frame(LinkRefused)
        assert await self.closed()
        return frame

    async def say(self, body: Body, message: MessageId | None = None) -> MessageId:
        """Send a message and wait until it is acknowledged."""
        message = message or MessageId(new_id("msg"))
        await self.put(Message(message, wall_ms(), body))
        while not isinstance(frame := await self.any_frame(), Ack) or frame.id != message:
            if isinstance(frame, Message):
                self.heard.append(frame)
        return message

    async def put_body(self, body: Body) -> None:
        await self.put(Message(MessageId(new_id("msg")), wall_ms(), body))

    async def expect(self, kind: type[M]) -> M:
        """The next message; acknowledged. Acks of our own messages are passed over."""
        message = await self.message()
        assert isinstance(message.body, kind), message.body
        await self.put(Ack(message.id))
        return message.body

    async def message(self) -> Message:
        """The next message, unacknowledged; what comes by the way is passed over."""
        while isinstance((message := await self._message()).body, AuditHead | SessionRelays):
            await self.put(Ack(message.id))
        return message

    async def head(self) -> AuditHead:
        """The next head of the record that a gateway is given; nothing may come before."""
        message = await self._message()
        assert isinstance(message, Message), message
        assert isinstance(message.body, AuditHead), message.body
        await self.put(Ack(message.id))
        return message.body

    async def relays(self) -> SessionRelays:
        """What the relays are, before the gateway has answered; nothing else may come before."""
        message = await self._message()
        assert isinstance(message.body, SessionRelays), message.body
        await self.put(Ack(message.id))
        return message.body

    async def _message(self) -> Message:
        if self.heard:
            return self.heard.popleft()
        while isinstance(frame := await self.any_frame(), Ack):
            pass
        assert isinstance(frame, Message), frame
        return frame

    async def hang_up(self) -> None:
        self.heard.clear()
        if self.socket is not None:
            await self.socket.close()


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


BAD_SIGNATURE = Signature(bytes(64))


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


@pytest.fixture
def open_world(data: Path, clock: Clock) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Start a controld on the test's data directory; again after a stop, if wanted."""
    return partial(running_world, data, clock)


@pytest.fixture
async def world(open_world: Callable[..., Any]) -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
def make_rig() -> Callable[[World], Awaitable[Rig]]:
    async def make(world: World) -> Rig:
        gateway = await world.gateway()
        user, technician = await world.admin.new_user("tina", "rc_user")
        client = await world.client(technician)
        session = await world.session(gateway, user)
        await world.online(gateway)
        await client.link()
        return Rig(world, gateway, client, technician, session)

    return make


@pytest.fixture
async def rig(world: World, make_rig: Callable[[World], Awaitable[Rig]]) -> AsyncIterator[Rig]:
    made = await make_rig(world)
    yield made
    await made.gateway.hang_up()
    await made.client.hang_up()


def _set_password(tx: Tx) -> None:
    admin = store_users.find_user_by_name(tx, "admin")
    assert admin is not None
    store_users.set_password(tx, admin.id, CHEAP.hash_now(ADMIN_PASSWORD), must_change=False)


def _builtins(struct: Any) -> Any:
    return msgspec.to_builtins(struct)
