"""relayd.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import Endpoint, parse_endpoint
from rclib.wire.ids import RelayId
from rclib.wire.relay import DEAD_S, MAX_MESSAGE_BYTES, PING_S

DEFAULT_PATH: Final = Path("/etc/remoteconnect/relayd.toml")

Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class RelaydConfig(Config, frozen=True, kw_only=True):
    """One relay. Relative paths start at the file."""

    relay: RelayId
    """The name that tokens carry as audience."""
    token_keys: Annotated[list[Path], msgspec.Meta(min_length=1)]
    """Public keys (PEM) of the control planes whose tokens admit."""
    listen: str = "0.0.0.0:443"
    """`[::]:443` serves IPv4 as well."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Processes that share the sessions, each on a port of its own: `listen`'s and those after it.
    The control plane's configuration names them all, and sends both ends of a session to one."""
    certificate: Path | None = None
    key: Path | None = None
    insecure_plaintext: bool = False
    """Without TLS, on loopback only: for a TLS terminator on the same host."""
    queue_bytes: Annotated[int, msgspec.Meta(ge=MAX_MESSAGE_BYTES, le=16 * 1024 * 1024)] = 262_144
    """What may wait for one leg that reads too slowly, before the oldest data go."""
    write_deadline_s: Seconds = 2.0
    upgrade_timeout_s: Seconds = 5.0
    """For the TLS handshake, and for the HTTP request after it."""
    hello_timeout_s: Seconds = 10.0
    """From the accept until the leg is admitted."""
    receive_bytes_per_s: Annotated[int, msgspec.Meta(ge=MAX_MESSAGE_BYTES)] | None = None
    """What one leg may send; beyond it, it is read later. None: as much as it can."""
    certificate_check_s: Seconds = 10.0
    """How often the certificate's files are looked at; a renewed one serves new legs."""
    ping_s: Seconds = PING_S
    dead_s: Seconds = DEAD_S
    max_unadmitted_per_address: Count = 20
    """For IPv6 per /64."""
    accept_rate_per_s: Count = 50
    accept_burst: Count = 200
    status: StatusConfig = StatusConfig()

    def __post_init__(self) -> None:
        endpoint = parse_endpoint(self.listen)
        if self.insecure_plaintext and not endpoint.host.is_loopback:
            raise ValueError(
                f"insecure_plaintext on {endpoint} would show tokens to the network; "
                "listen on 127.0.0.1 or [::1], or set certificate and key"
            )
        if not self.insecure_plaintext and (self.certificate is None or self.key is None):
            raise ValueError("certificate and key are required (PEM files)")
        if endpoint.port + self.workers - 1 > _LAST_PORT:
            raise ValueError(
                f"{self.workers} workers from port {endpoint.port} on go beyond {_LAST_PORT}"
            )
        if self.dead_s <= self.ping_s:
            raise ValueError(
                f"dead_s = {self.dead_s:g} would end every quiet leg before its PING; "
                f"set it above ping_s = {self.ping_s:g}"
            )

    def of_worker(self, index: int) -> RelaydConfig:
        """What one of the workers serves."""
        endpoint = parse_endpoint(self.listen)
        # Port 0 is a free one for each.
        port = endpoint.port + index if endpoint.port else 0
        own = Endpoint(endpoint.host, port)
        return msgspec.structs.replace(self, listen=str(own), workers=1, status=StatusConfig())


_LAST_PORT = 65_535
