"""controld's configuration: one TOML file, written by `controld init`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from controld.oidc_url import is_safe_url
from controld.store_url import Database, parse_database
from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import Endpoint
from rclib.runtime.secret import SecretBytes, SecretStr
from rclib.wire.control import StunServer, StunServers, Url
from rclib.wire.ids import RelayId, SessionId
from rclib.wire.session import RegionName

HostName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9.:-]{1,255}\Z")]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]

LEAST_WORK_MIB: Final = 35
"""MiB of memory times passes: the cheapest that OWASP's password storage cheat sheet accepts."""


class TlsConfig(Config, frozen=True, kw_only=True):
    """The certificate chain and key of the API, relative to the configuration's directory."""

    certificate: Path = Path("tls/server.pem")
    key: Path = Path("tls/server-key.pem")
    ca: Path = Path("tls/ca.pem")
    """Vouches for relays, beside the system's authorities; may be missing."""


class RelayConfig(Config, frozen=True, kw_only=True):
    """One relay that sessions may use."""

    id: RelayId
    url: Url | Annotated[tuple[Url, ...], msgspec.Meta(min_length=1, max_length=64)]
    """Of a relay with several workers: one for each, in any order that stays the same."""
    region: RegionName = "main"
    """Sessions use the relays of one region: the one their gateway is nearest to."""

    def __post_init__(self) -> None:
        for url in self.urls:
            if not url.startswith(("wss://", "ws://")):
                raise ValueError(f"relay {self.id}: the URL begins with wss://, not {url[:20]!r}")

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url,) if isinstance(self.url, str) else self.url

    def url_of(self, session: SessionId) -> str:
        """The worker that serves a session: the same for both of its ends."""
        return self.urls[zlib.crc32(session.encode()) % len(self.urls)]


class TimesConfig(Config, frozen=True, kw_only=True):
    """How long things last."""

    lease_s: Seconds = 600
    """A session goes on for this long without controld; renewed every third of it."""
    client_grace_s: Seconds = 120
    """How long a technician's control link may be away before the session ends."""
    ticket_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 60
    answer_s: Seconds = 60
    """How long a gateway has to answer an offer."""
    release_s: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)] = 86_400
    """How long a second person's release waits to be used."""
    enrolment_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 86_400
    login_idle_s: Annotated[int, msgspec.Meta(ge=60, le=900)] = 900
    """A login that is not used for this long is over; in any case after api_token_s."""
    api_token_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 43_200
    clock_back_s: Annotated[int, msgspec.Meta(ge=0)] = 300
    """How far behind the record's newest row the machine's clock may be at a start."""


class SyslogConfig(Config, frozen=True, kw_only=True):
    """A syslog server that gets every row of the record (RFC 5424)."""

    target: str
    """tcp://HOST:PORT or tls://HOST:PORT."""
    ca_file: Path | None = None
    """Who vouches for the server; the system's authorities otherwise."""

    def __post_init__(self) -> None:
        if not self.target.startswith(("tcp://", "tls://")):
            raise ValueError(f"{self.target!r} is not tcp://HOST:PORT or tls://HOST:PORT")


class ProviderConfig(Config, frozen=True, kw_only=True):
    """A provider of identities (OpenID Connect) that linked users may log in with."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]
    """Stands in the address that is registered there: https://HOST/login/with/ID/back."""
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    """As people know it."""
    issuer: Annotated[str, msgspec.Meta(max_length=255)]
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    client_secret: SecretStr | None = None
    """None for a public client: then PKCE alone ties the code to us."""
    ca_file: Path | None = None
    """Who vouches for the provider; the system's authorities otherwise."""

    def __post_init__(self) -> None:
        if not is_safe_url(self.issuer):
            raise ValueError(f"provider {self.id}: the issuer begins with https://")


class LimitsConfig(Config, frozen=True, kw_only=True):
    """What one user may hold at once; a gateway's limits stand in its policy."""

    sessions_per_user: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    tokens_per_user: Annotated[int, msgspec.Meta(ge=0, le=256)] = 20


class PasswordsConfig(Config, frozen=True, kw_only=True):
    """What one guess costs who holds a copy of the database: argon2id's parameters.

    By default the second choice of RFC 9106, section 4. A password keeps the cost it was set at.
    """

    memory_mib: Annotated[int, msgspec.Meta(ge=7, le=1024)] = 64
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4

    def __post_init__(self) -> None:
        work = self.memory_mib * self.passes
        if work < LEAST_WORK_MIB:
            raise ValueError(
                f"memory_mib x passes is {work}: guessing would be too cheap; "
                f"use at least {LEAST_WORK_MIB}"
            )


class ControldConfig(Config, frozen=True, kw_only=True):
    """Everything the operator decides."""

    host: HostName
    """The name technicians and gateways dial; their identity proofs are bound to it."""
    listen: Endpoint
    public_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """The port in remoteconnect: links, where it is not the one that is listened on."""
    hosts: tuple[HostName, ...] = ()
    """Other names it may be asked for; a request for any further one is refused."""
    insecure_http: bool = False
    """Plain HTTP, on loopback only: for a TLS proxy on the same machine, and for tests."""
    database: str = "controld.db"
    """A file beside this one, or postgresql://USER@HOST/NAME."""
    database_password: SecretStr | None = None
    token_key: SecretBytes
    """Ed25519 private key (PEM) that signs the admissions to relays."""
    audit_key: SecretBytes
    """Ed25519 private key (PEM) that signs the heads of the record."""
    tls: TlsConfig = TlsConfig()
    relays: tuple[RelayConfig, ...] = ()
    stun: tuple[str, ...] = ()
    """STUN servers as host:port; both ends of a session ask all of them. At most four."""
    times: TimesConfig = TimesConfig()
    syslog: SyslogConfig | None = None
    limits: LimitsConfig = LimitsConfig()
    passwords: PasswordsConfig = PasswordsConfig()
    status: StatusConfig = StatusConfig()
    providers: tuple[ProviderConfig, ...] = ()
    client_url: Annotated[str, msgspec.Meta(pattern=r"\Ahttps://[\x21-\x7e]{1,500}\Z")] | None = (
        None
    )
    """Where technicians download the client; the portal links there."""

    def __post_init__(self) -> None:
        parse_database(self.database, self.database_password, Path())
        if self.insecure_http and not self.listen.host.is_loopback:
            raise ValueError(
                f"insecure_http is for loopback only, and {self.listen} can be reached from "
                "other machines; listen on 127.0.0.1 or [::1], or set insecure_http = false"
            )
        self.stun_servers()
        names = [relay.id for relay in self.relays]
        if len(set(names)) != len(names):
            raise ValueError("two relays have the same id; relays tell each other apart by it")
        for what in ("id", "issuer"):
            values = [getattr(provider, what) for provider in self.providers]
            if len(set(values)) != len(values):
                raise ValueError(f"two providers have the same {what}")

    @property
    def own_hosts(self) -> frozenset[str]:
        """The names by which requests may ask for it, besides the address they came to."""
        return frozenset((self.host, *self.hosts, "localhost"))

    def database_in(self, base: Path) -> Database:
        """Where the database is; `base` is the configuration's directory."""
        return parse_database(self.database, self.database_password, base)

    def stun_servers(self) -> tuple[StunServer, ...]:
        """Raises ValueError."""
        try:
            return msgspec.convert(tuple(_stun_server(text) for text in self.stun), StunServers)
        except msgspec.ValidationError as exc:
            raise ValueError(f"stun: {exc}") from None


def _stun_server(text: str) -> StunServer:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"stun: {text[:80]!r} is no HOST:PORT, like stun.example:3478")
    return msgspec.convert({"host": host.strip("[]"), "port": int(port)}, StunServer)
