"""The parts of a running controld, as its API and its links reach them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.admissions import Admissions
    from controld.audit_notary import Notary
    from controld.config import ControldConfig
    from controld.coordinator import Coordinator
    from controld.fleet import Fleet
    from controld.link_hub import Hub
    from controld.metrics import Metrics
    from controld.oidc_client import Providers
    from controld.passwords import Passwords
    from controld.recorder import Recorder
    from controld.sealing import Sealer
    from controld.session_keeper import Keeper
    from controld.store import Store
    from rclib.runtime.logs import Logger


@dataclass(slots=True)
class Services:
    """Fixed after the start."""

    config: ControldConfig
    store: Store
    recorder: Recorder
    hub: Hub
    fleet: Fleet
    admissions: Admissions
    coordinator: Coordinator
    keeper: Keeper
    notary: Notary
    passwords: Passwords
    sealer: Sealer
    providers: Providers
    metrics: Metrics
    now_ms: Callable[[], int]
    log: Logger
    is_stopping: Callable[[], bool] = lambda: False
    streams: int = 0
    """Readers of live state."""
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the whole record is walked."""
    public_port: int = 0
    """The port in remoteconnect: links; known once the socket is bound."""

    @property
    def origin(self) -> str:
        """What a browser shows for the portal: scheme, host, and the port if it is not usual."""
        config = self.config
        is_plain = config.insecure_http and config.public_port is None  # else behind a TLS proxy
        scheme, usual = ("http", 80) if is_plain else ("https", 443)
        port = "" if self.public_port == usual else f":{self.public_port}"
        host = f"[{config.host}]" if ":" in config.host else config.host
        return f"{scheme}://{host}{port}"
