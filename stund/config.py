"""stund.toml; every key has a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import Endpoint, parse_endpoint

DEFAULT_PATH: Final = Path("/etc/remoteconnect/stund.toml")


class RateLimit(Config, frozen=True, kw_only=True):
    """What one source gets: an IPv4 address, or an IPv6 /64."""

    enabled: bool = True
    """Off only where forged source addresses cannot arrive: a closed network, a benchmark."""
    requests_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 10
    burst: Annotated[int, Meta(ge=1, le=100_000)] = 30
    """An ICE agent sends up to seven requests per server (RFC 8489 §6.2.1); a CGNAT hides many."""


class StundConfig(Config, frozen=True, kw_only=True):
    """One STUN server."""

    listen: tuple[Endpoint, ...] = (parse_endpoint("0.0.0.0:3478"), parse_endpoint("[::]:3478"))
    """Not used where systemd hands over sockets."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that share the load; one answers a few hundred thousand requests a second."""
    socket_buffer_bytes: Annotated[int, Meta(ge=65_536, le=1 << 28)] = 4 << 20
    """What is asked of the kernel for each direction; what it granted is in the log."""
    rate_limit: RateLimit = RateLimit()
    status: StatusConfig = StatusConfig()
