"""One session's way to its peer, on either side: loopback socket, relay legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.tunnel.relay_set import RelaySet
from rclib.tunnel.udp_pump import UdpPump

if TYPE_CHECKING:
    import ssl

    from rclib.runtime.logs import Logger
    from rclib.tunnel.enrolment import Identity
    from rclib.wire.control import RelayLeg
    from rclib.wire.identity import Side
    from rclib.wire.ids import SessionId


class TunnelEnd:
    """Between WireGuard's endpoint on loopback and the relays."""

    def __init__(
        self,
        session: SessionId,
        side: Side,
        identity: Identity,
        relays: tuple[RelayLeg, ...],
        tls: ssl.SSLContext,
        log: Logger,
    ) -> None:
        self._log = log.bind(session=session, side=side.value)
        self._pump: UdpPump | None = None
        self._relays = RelaySet(relays, identity.sign, tls, self._log, self._deliver)

    async def start(self) -> int:
        """Bind the loopback socket and dial the relays; returns WireGuard's endpoint port."""
        self._pump = UdpPump(self._relays.send, self._log)
        self._relays.start()
        return self._pump.port

    def wireguard_listens(self, port: int) -> None:
        if self._pump is not None:
            self._pump.wireguard_listens(port)

    def renew(self, relays: tuple[RelayLeg, ...]) -> None:
        self._relays.renew(relays)

    async def close(self) -> None:
        """Idempotent."""
        await self._relays.close()
        if self._pump is not None:
            self._pump.close()

    def _deliver(self, segment: int, packets: memoryview) -> None:
        if self._pump is not None:
            self._pump.deliver(segment, packets)
