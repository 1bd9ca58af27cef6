"""stund.toml; every key has a default."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig

DEFAULT_PATH: Final = Path("/etc/remoteconnect/stund.toml")


class StundConfig(Config, frozen=True, kw_only=True):
    """One STUN server."""

    listen: tuple[str, ...] = ("0.0.0.0:3478", "[::]:3478")
    status: StatusConfig = StatusConfig()
