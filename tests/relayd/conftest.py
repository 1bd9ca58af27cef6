"""A real relay in this process, real TLS, and tokens signed by a test's own control plane."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.runtime.service import open_context
from rclib.tunnel.enrolment import Identity
from rclib.wire.admission import Admission, key_id_of, load_key, mint
from rclib.wire.control import RelayLeg
from rclib.wire.ids import IdentityKey, RelayId, SessionId
from relayd.config import RelaydConfig
from relayd.server import RelayServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from joserfc.jwk import OKPKey

    from rclib.wire.identity import Side

SESSION = SessionId("ses_" + "a" * 16)
RELAY = RelayId("relay0")


@dataclass(frozen=True)
class Authority:
    """Signs tokens as controld does."""

    key: OKPKey
    public_pem: Path

    def token(
        self,
        identity: Identity,
        side: Side,
        *,
        session: SessionId = SESSION,
        relay: RelayId = RELAY,
        lasts_s: int = 60,
        key: IdentityKey | None = None,
    ) -> str:
        now = int(time.time())
        admission = Admission(session, side, key or identity.public, relay, now - 1, now + lasts_s)
        return mint(admission, self.key, key_id_of(self.key))


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
def technician() -> Identity:
    return Identity(Ed25519PrivateKey.generate())


@pytest.fixture
def gateway() -> Identity:
    return Identity(Ed25519PrivateKey.generate())


@dataclass(frozen=True)
class RunningRelay:
    server: RelayServer
    url: str
    tls: ssl.SSLContext
    stopping: asyncio.Event

    def leg(self, token: str, relay: RelayId = RELAY) -> RelayLeg:
        return RelayLeg(relay, self.url, token)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
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


@pytest.fixture
async def relay_server(
    authority: Authority, certificate: tuple[Path, Path]
) -> AsyncIterator[RunningRelay]:
    async with run_relay(authority, certificate) as running:
        yield running


@asynccontextmanager
async def run_relay(
    authority: Authority, certificate: tuple[Path, Path], **settings: float
) -> AsyncIterator[RunningRelay]:
    pem, key = certificate
    config = RelaydConfig(
        relay=RELAY,
        token_keys=[authority.public_pem],
        listen="127.0.0.1:0",
        certificate=pem,
        key=key,
        **settings,  # type: ignore[arg-type] # numbers only, checked by the configuration itself
    )
    tls = ssl.create_default_context(cafile=str(pem))
    async with open_context("relayd") as ctx:
        server = RelayServer(config, ctx)
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = ctx.tasks.create_task(server.run(port.set_result))
        url = f"wss://127.0.0.1:{await port}/relay"
        yield RunningRelay(server, url, tls, ctx.stopping)
        ctx.stopping.set()
        await task
