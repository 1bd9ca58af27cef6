"""What a direct path needs of those around it; apart from it, because it is loaded later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.wire.control import StunServer
    from rclib.wire.gate import TunnelCounters, UdpEndpoint
    from rclib.wire.ids import IdentityKey, SessionId
    from rclib.wire.session import PathStatus


class PathGate(Protocol):
    """What a path needs of its gate; raises GateRefused and GateUnavailable."""

    async def measure(self) -> tuple[TunnelCounters, ...]: ...
    async def probe(self, session: SessionId) -> None: ...
    async def steer(
        self,
        session: SessionId,
        *,
        listen_port: int | None = None,
        endpoint: UdpEndpoint | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """What a session needs to look for a direct path."""

    peer: IdentityKey
    stun: tuple[StunServer, ...]
    gate: PathGate
    mtu: int
    control: Callable[[bytes], bool]
    """The second way for signals; False: there is no link now."""
    on_change: Callable[[PathStatus], None]
