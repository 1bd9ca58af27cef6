"""rcc.toml: where the client keeps its identity and finds its privileged half."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec

from rclib.runtime.config import Config
from rclib.runtime.net import check_proxy
from rclib.runtime.secret import SecretStr

DEFAULT_PATH: Final = Path("/etc/remoteconnect/rcc.toml")


def _state_dir() -> str:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return str(Path(base) / "remoteconnect")


def _socket() -> str:
    base = os.environ.get("XDG_RUNTIME_DIR")
    return str(Path(base) / "remoteconnect.sock") if base else str(Path(_state_dir()) / "rcc.sock")


class RccConfig(Config, frozen=True, kw_only=True):
    """All keys have defaults; the file may be absent."""

    state_dir: str = msgspec.field(default_factory=_state_dir)
    """Identity, enrolment, known gateways."""
    socket: str = msgspec.field(default_factory=_socket)
    """For `rcc status` and `rcc disconnect`."""
    gate_socket: str = "/run/remoteconnect/rcc-gate/gate.sock"
    ca_file: str | None = None
    """CA of controld and the relays; None: the system's."""
    proxy: str | None = None
    """HTTP proxy that all of them are reached through, http://HOST:PORT; None: directly."""
    proxy_login: SecretStr | None = None
    """USER:PASSWORD, for a proxy that wants Basic authentication."""
    mtu: Annotated[int, msgspec.Meta(ge=1280, le=1420)] = 1280

    def __post_init__(self) -> None:
        if self.proxy is not None:
            check_proxy(self.proxy)
