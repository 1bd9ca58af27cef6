"""client-gate.toml: who may have tunnels on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rclib.tunnel.gate_service import GateConfig

DEFAULT_PATH: Final = Path("/etc/remoteconnect/client-gate.toml")


class RccGateConfig(GateConfig, frozen=True, kw_only=True):
    """What the client's privileged half may do; `allowed_users` are the technicians."""

    socket: str = "/run/remoteconnect/client-gate.sock"
