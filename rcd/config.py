"""rcd.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from rcd.wires import LineConfig
from rclib.runtime.config import Config
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.net import check_proxy
from rclib.runtime.secret import SecretStr
from rclib.wire.session import RegionName

DEFAULT_PATH: Final = Path("/etc/remoteconnect/rcd.toml")


class RcdConfig(Config, frozen=True, kw_only=True):
    """What the plant decides about its gateway; relative paths start at the file."""

    state_dir: str = "/var/lib/remoteconnect/rcd"
    """Identity, enrolment, the switch, the audit spool."""
    socket: str = "/run/remoteconnect/rcd/api.sock"
    """The local API."""
    socket_group: str | None = None
    """Group that may connect; the AMS page's account belongs to it."""
    gate_socket: str = "/run/remoteconnect/rcd-gate/gate.sock"
    ca_file: str | None = None
    """CA of controld and the relays; None: the system's."""
    proxy: str | None = None
    """HTTP proxy that all of them are reached through, http://HOST:PORT; None: directly."""
    proxy_login: SecretStr | None = None
    """USER:PASSWORD, for a proxy that wants Basic authentication."""
    region: RegionName | None = None
    """Where its sessions' relays are to be; None: in the region that is nearest to this gateway."""
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    release_required: bool = False
    """Whether every start waits for a person on the AMS page, whatever controld wants."""
    release_wait_s: Annotated[int, msgspec.Meta(ge=10, le=3600)] = 300
    """How long an offer waits for that person; at most as long as its lease."""
    technician_grace_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 120
    """How long a technician may be unreachable before the session ends; 0: at once."""
    mtu: Annotated[int, msgspec.Meta(ge=1280, le=1420)] = 1280
    """Inside the tunnel; 1280 fits every uplink with IPv6."""
    key_switch: LineConfig | None = None
    """Access is ON only while this is closed too."""
    lamp: LineConfig | None = None
    """Lit while somebody is connected."""
    status: StatusConfig = StatusConfig()

    def __post_init__(self) -> None:
        if self.proxy is not None:
            check_proxy(self.proxy)
