"""A real relay in this process, real TLS, and tokens signed by a test's own control plane."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.runtime.logs import get_logger
from rclib.runtime.service import Context, open_context
from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_client import RelayConnection, dial
from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.tunnel.tunnel_end import TunnelEnd
from rclib.tunnel.uplink import Uplink
from rclib.wire import relay as wire
from rclib.wire.admission import Admission, Revocation, key_id_of, load_key, mint
from rclib.wire.control import RelayLeg
from rclib.wire.identity import Side
from rclib.wire.ids import IdentityKey, RelayId, SessionId
from relayd.config import RelaydConfig
from relayd.server import RelayServer
from relayd.turn_loop import TurnLoop
from tests.relayd.rules_by_hand import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from joserfc.jwk import OKPKey

    from rclib.wire.relay import CloseReason

SESSION = SessionId("ses_" + "a" * 16)
RELAY = RelayId("relay0")
PATIENCE_S = 10


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on the loop that a relay runs on."""
    return {"turns": TurnLoop}


class Claims(TypedDict, total=False):
    """What a test may want otherwise in a token."""

    session: SessionId
    audience: RelayId
    lasts_s: int


class Settings(TypedDict, total=False):
    """What a test may want otherwise in relayd.toml."""

    listen: str
    insecure_plaintext: bool
    write_deadline_s: float
    upgrade_timeout_s: float
    hello_timeout_s: float
    max_unadmitted_per_address: int
    accept_rate_per_s: int
    accept_burst: int
    receive_bytes_per_s: int
    certificate_check_s: float
    ping_s: float
    dead_s: float


@dataclass(frozen=True)
class Authority:
    """Signs tokens as controld does, for both ends of a session."""

    key: OKPKey
    public_pem: Path
    identities: dict[Side, Identity] = field(
        default_factory=lambda: {side: Identity(Ed25519PrivateKey.generate()) for side in Side}
    )

    def token(
        self,
        side: Side,
        *,
        session: SessionId = SESSION,
        audience: RelayId = RELAY,
        lasts_s: int = 60,
        identity: Identity | None = None,
    ) -> str:
        now = int(time.time())
        key = IdentityKey((identity or self.identities[side]).public)
        admission = Admission(session, side, key, audience, now - 1, now + lasts_s)
        return mint(admission, self.key, key_id_of(self.key))

    def revocation(
        self,
        session: SessionId = SESSION,
        *,
        audience: RelayId = RELAY,
        lasts_s: int = 60,
    ) -> bytes:
        """The message that ends a session."""
        now = int(time.time())
        claims = Revocation(session, audience, now, now + lasts_s)
        return wire.encode(wire.Revoke(mint(claims, self.key, key_id_of(self.key))))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = tmp_path / "token-key.pub.pem"
    public.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return Authority(load_key(pem), public)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path)


def make_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Write relay.pem and relay.key, each time another one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = tmp_path / "relay.pem", tmp_path / "relay.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key_file


@dataclass
class RunningRelay:
    """One relay, and what a test asks of it."""

    name: RelayId
    authority: Authority
    url: str
    tls: ssl.SSLContext
    ctx: Context | None = None
    serving: asyncio.Task[None] | None = None
    """Both None: it runs as a process of its own."""

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def leg(self, side: Side) -> RelayLeg:
        return RelayLeg(self.name, self.url, self.authority.token(side, audience=self.name))

    def metric(self, name: str, **labels: str) -> float:
        assert self.ctx is not None
        return self.ctx.metrics.get_sample_value(name, labels) or 0.0

    async def stop(self) -> None:
        assert self.ctx is not None
        assert self.serving is not None
        self.ctx.stopping.set()
        await self.serving


class StartRelay(Protocol):
    async def __call__(
        self, name: RelayId = RELAY, **settings: Unpack[Settings]
    ) -> RunningRelay: ...


@pytest.fixture
async def start_relay(
    authority: Authority, certificate: tuple[Path, Path]
) -> AsyncIterator[StartRelay]:
    """Starts a relay with settings of the test; all end with it."""
    pem, key = certificate
    tls = ssl.create_default_context(cafile=str(pem))
    async with AsyncExitStack() as relays:

        async def start(name: RelayId = RELAY, **settings: Unpack[Settings]) -> RunningRelay:
            chosen: Settings = {"listen": "127.0.0.1:0", **settings}
            config = RelaydConfig(
                relay=name, token_keys=[authority.public_pem], certificate=pem, key=key, **chosen
            )
            ctx = await relays.enter_async_context(open_context("relayd"))
            port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            serving = ctx.tasks.create_task(RelayServer(config, ctx).run(port.set_result))
            scheme = "ws" if config.insecure_plaintext else "wss"
            url = f"{scheme}://127.0.0.1:{await port}/relay"
            running = RunningRelay(name, authority, url, tls, ctx, serving)
            relays.push_async_callback(running.stop)
            return running

        yield start


@pytest.fixture
async def relay(start_relay: StartRelay) -> RunningRelay:
    return await start_relay()


class ProcessRelay(Protocol):
    def __call__(self, port: int) -> RunningRelay: ...


@pytest.fixture
def process_relay(authority: Authority, certificate: tuple[Path, Path]) -> ProcessRelay:
    """Tells how a relay process is reached."""
    tls = ssl.create_default_context(cafile=str(certificate[0]))
    return lambda port: RunningRelay(RELAY, authority, f"wss://127.0.0.1:{port}/relay", tls)


async def eventually(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for what no event tells: something of the kernel, or of another process."""
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Probe:
    """One leg as rcd and rcc have it, and what came over it."""

    def __init__(self, relay: RunningRelay, token: str, identity: Identity) -> None:
        self.core = RelayLegCore(relay.name, token, identity.sign)
        self.connection = RelayConnection(self.core, self)
        self.messages: list[bytes] = []
        self.signals: list[bytes] = []
        self._news = asyncio.Event()

    def send(self, message: bytes) -> None:
        assert self.connection.send(message)

    async def reaches(self, state: LegState) -> None:
        await self.until(lambda: self.core.state is state)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def receives(self, messages: list[bytes]) -> None:
        """Wait for so many messages; they are these, in this order."""
        await self.until(lambda: len(self.messages) >= len(messages))
        assert self.messages == messages

    async def reason(self) -> CloseReason | None:
        """Why the relay ended the leg."""
        await self.reaches(LegState.ENDED)
        assert self.core.end is not None
        return self.core.end.reason

    # The connection calls these.

    def leg_changed(self, leg: RelayConnection) -> None:
        self._news.set()

    def leg_data(self, segment: int, packets: memoryview) -> None:
        self.messages.append(b"\x10" + segment.to_bytes(2, "big") + packets)
        self._news.set()

    def leg_signal(self, payload: bytes) -> None:
        self.signals.append(payload)
        self._news.set()


class Join(Protocol):
    async def __call__(
        self,
        relay: RunningRelay,
        side: Side,
        *,
        token: str | None = None,
        identity: Identity | None = None,
        **claims: Unpack[Claims],
    ) -> Probe: ...


@pytest.fixture
async def join(authority: Authority) -> AsyncIterator[Join]:
    """Opens legs; they are closed with the test."""
    async with AsyncExitStack() as legs:

        async def open_leg(
            relay: RunningRelay,
            side: Side,
            *,
            token: str | None = None,
            identity: Identity | None = None,
            **claims: Unpack[Claims],
        ) -> Probe:
            wanted: Claims = {"audience": relay.name, **claims}
            text = token or authority.token(side, **wanted)
            probe = Probe(relay, text, identity or authority.identities[side])
            await dial(relay.url, probe.connection, Uplink(relay.tls))
            legs.push_async_callback(probe.connection.close)
            return probe

        yield open_leg


class Pair(Protocol):
    async def __call__(self, relay: RunningRelay) -> tuple[Probe, Probe]: ...


@pytest.fixture
async def pair(join: Join) -> Pair:
    """Opens a technician's and a gateway's leg and waits until they are joined."""

    async def open_pair(relay: RunningRelay) -> tuple[Probe, Probe]:
        technician = await join(relay, Side.TECHNICIAN)
        gateway = await join(relay, Side.GATEWAY)
        for leg in (technician, gateway):
            await leg.reaches(LegState.PAIRED)
        return technician, gateway

    return open_pair


class OpenEnd(Protocol):
    async def __call__(self, side: Side, *relays: RunningRelay) -> tuple[TunnelEnd, int]: ...


@pytest.fixture
async def open_end(authority: Authority) -> AsyncIterator[OpenEnd]:
    """Opens a tunnel end over some relays; returns it and its loopback port."""
    async with AsyncExitStack() as ends:

        async def start(side: Side, *relays: RunningRelay) -> tuple[TunnelEnd, int]:
            legs = tuple(relay.leg(side) for relay in relays)
            end = TunnelEnd(
                SESSION,
                side,
                authority.identities[side],
                legs,
                Uplink(relays[0].tls),
                get_logger("test"),
            )
            ends.push_async_callback(end.close)
            return end, await end.start()

        yield start


@asynccontextmanager
async def _browser(relay: RunningRelay) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=relay.tls)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


class Knock(Protocol):
    async def __call__(
        self, relay: RunningRelay, *, compress: int = 0, origin: str | None = None
    ) -> aiohttp.ClientWebSocketResponse: ...


@pytest.fixture
async def knock() -> AsyncIterator[Knock]:
    """Opens a bare WebSocket with somebody else's library, to send what no leg of ours would.

    It has been told the nonce.
    """
    async with AsyncExitStack() as sockets:

        async def open_socket(
            relay: RunningRelay, *, compress: int = 0, origin: str | None = None
        ) -> aiohttp.ClientWebSocketResponse:
            session = await sockets.enter_async_context(_browser(relay))
            opened = await session.ws_connect(
                relay.url, autoping=False, compress=compress, origin=origin
            )
            sockets.push_async_callback(opened.close)
            challenge = wire.decode((await opened.receive(timeout=5)).data)
            assert isinstance(challenge, wire.Challenge)
            return opened

        yield open_socket


class Call(Protocol):
    async def __call__(
        self, port: int, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Opens bare TCP or TLS connections, for what is not even HTTP."""
    async with AsyncExitStack() as connections:

        async def connect(
            port: int, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)

            async def close() -> None:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

            connections.push_async_callback(close)
            return reader, writer

        yield connect


@pytest.fixture
def server() -> Relay:
    """The rules alone, without a socket."""
    return Relay()
