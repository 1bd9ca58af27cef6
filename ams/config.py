"""ams.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import parse_endpoint

DEFAULT_PATH: Final = Path("/etc/remoteconnect/ams.toml")


class AmsConfig(Config, frozen=True, kw_only=True):
    """The page's place in the plant."""

    listen: str = "127.0.0.1:8443"
    """The gateway's address on the plant side; nothing is heard from another interface."""
    hosts: tuple[str, ...] = ()
    """Names under which browsers may ask, besides the address they connect to."""
    plain_http: bool = False
    """For a page behind a TLS terminator on the gateway itself."""
    redirect_listen: str | None = None
    """Where plain HTTP is led to the page, such as port 80 of the same address."""
    certificate: str | None = None
    """PEM chain; without it and `key` the page makes a pair of its own at the first start."""
    key: str | None = None
    state_dir: str = "/var/lib/remoteconnect/ams"
    """The password's hash, the tries of the last hour, the page's own certificate."""
    rcd_socket: str = "/run/remoteconnect/rcd/api.sock"
    status: StatusConfig = StatusConfig()

    def __post_init__(self) -> None:
        parse_endpoint(self.listen)
        if self.redirect_listen is not None:
            parse_endpoint(self.redirect_listen)
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key belong together: set both or neither")
        if self.plain_http and (self.certificate or self.redirect_listen):
            raise ValueError("plain_http excludes certificate, key and redirect_listen")
