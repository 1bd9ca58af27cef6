"""The technician's end of a tunnel, and with it the import of all that packets travel by.

That takes a tenth of a second: `rcc.client.load_path` has it done while the control link is being
dialled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.tunnel.own_addresses import NetworkWatch
from rclib.tunnel.path_settings import PathSettings
from rclib.tunnel.tunnel_end import TunnelEnd
from rclib.wire.identity import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.tunnel.enrolment import Identity
    from rclib.tunnel.path_settings import PathGate
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import RelayLeg, SessionGrant
    from rclib.wire.ids import SessionId
    from rclib.wire.session import PathStatus


class TechnicianTunnel(TunnelEnd):
    """A tunnel end that watches this computer's network."""

    def __init__(
        self,
        session: SessionId,
        identity: Identity,
        relays: tuple[RelayLeg, ...],
        uplink: Uplink,
        log: Logger,
    ) -> None:
        super().__init__(session, Side.TECHNICIAN, identity, relays, uplink, log)
        self._network = NetworkWatch(self.network_changed)

    def granted(
        self,
        grant: SessionGrant,
        gate: PathGate,
        mtu: int,
        *,
        control: Callable[[bytes], bool],
        on_change: Callable[[PathStatus], None],
    ) -> None:
        """Who the other end is, is known: signals can be checked."""
        self.look_for_path(
            PathSettings(
                peer=grant.peer.identity_key,
                stun=grant.stun,
                gate=gate,
                mtu=mtu,
                control=control,
                on_change=on_change,
            )
        )

    async def close(self) -> None:
        self._network.close()
        await super().close()
