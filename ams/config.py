"""ams.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig

DEFAULT_PATH: Final = Path("/etc/remoteconnect/ams.toml")


class AmsConfig(Config, frozen=True, kw_only=True):
    """The page's place in the plant."""

    listen: str = "127.0.0.1:8080"
    """The gateway's address on the plant side."""
    hosts: tuple[str, ...] = ()
    """Further names under which browsers may ask (against DNS rebinding)."""
    state_dir: str = "/var/lib/remoteconnect/ams"
    rcd_socket: str = "/run/remoteconnect/rcd.sock"
    status: StatusConfig = StatusConfig()
