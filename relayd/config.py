"""relayd.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import parse_endpoint
from rclib.wire.ids import RelayId
from rclib.wire.relay import MAX_MESSAGE_BYTES

DEFAULT_PATH: Final = Path("/etc/remoteconnect/relayd.toml")


class RelaydConfig(Config, frozen=True, kw_only=True):
    """One relay; relative paths start at the working directory."""

    relay: RelayId
    """The name that tokens carry as audience."""
    token_keys: Annotated[list[str], msgspec.Meta(min_length=1)]
    """Public keys (PEM) of the control planes whose tokens admit."""
    listen: str = "0.0.0.0:443"
    certificate: str = ""
    key: str = ""
    insecure_plaintext: bool = False
    """Without TLS, on loopback only: for a TLS terminator on the same host."""
    queue_bytes: Annotated[int, msgspec.Meta(ge=MAX_MESSAGE_BYTES, le=16 * 1024 * 1024)] = 262_144
    write_deadline_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    max_unadmitted_per_address: Annotated[int, msgspec.Meta(ge=1)] = 20
    status: StatusConfig = StatusConfig()

    def __post_init__(self) -> None:
        endpoint = parse_endpoint(self.listen)
        if self.insecure_plaintext and not endpoint.host.is_loopback:
            raise ValueError(
                f"insecure_plaintext on {endpoint} would show tokens to the network; "
                "listen on 127.0.0.1 or [::1], or set certificate and key"
            )
        if not self.insecure_plaintext and not (self.certificate and self.key):
            raise ValueError("certificate and key are required (PEM files)")
