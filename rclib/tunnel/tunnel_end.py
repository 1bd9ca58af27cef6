"""One session's way to its peer, on either side: loopback socket, relay legs, direct path."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from rclib.tunnel.path_signals import PathSignals
from rclib.tunnel.relay_set import LegChanged, RelaySet
from rclib.tunnel.udp_pump import UdpPump

if TYPE_CHECKING:
    from rclib.runtime.logs import Logger
    from rclib.tunnel.direct_path import DirectPath
    from rclib.tunnel.enrolment import Identity
    from rclib.tunnel.path_settings import PathSettings
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import RelayLeg
    from rclib.wire.identity import Side
    from rclib.wire.ids import SessionId
    from rclib.wire.session import PathStatus


TUNNEL_ENDED = "tunnel_ended"

PUMP_DROPS: Final = ("strange", "oversize", "early", "by_socket")
DROP_PLACES: Final = ("relay", "kernel", *PUMP_DROPS)
"""relay: messages that no leg took. kernel: WireGuard's packets that found the loopback socket
full. The others stand in `PumpCounters`."""

Drops = Counter[str]


class TunnelEnd:
    """Between WireGuard's endpoint on loopback and the relays, and past both of them."""

    def __init__(
        self,
        session: SessionId,
        side: Side,
        identity: Identity,
        relays: tuple[RelayLeg, ...],
        uplink: Uplink,
        log: Logger,
    ) -> None:
        self._session = session
        self._side = side
        self._sign = identity.sign
        self._settings: PathSettings | None = None
        self._log = log.bind(session=session, side=side.value)
        self._pump: UdpPump | None = None
        self._path: DirectPath | None = None
        self._relays = RelaySet(
            relays,
            identity.sign,
            uplink,
            self._log,
            self._deliver,
            on_signal=self.signalled,
            on_change=self._leg_changed,
        )
        self._is_closed = False
        self._is_linked = True  # by which the session came to be
        self._signals: PathSignals | None = None

    def look_for_path(self, settings: PathSettings) -> None:
        """Until this is called, the relays are the only way; before `wireguard_listens`."""
        self._settings = settings
        self._signals = PathSignals(
            self._session,
            self._side,
            peer=settings.peer,
            sign=self._sign,
            ways=(self._relays.send_signal, settings.control),
            on_signal=lambda body: self._path.signalled(body) if self._path else None,
            log=self._log,
        )

    async def start(self) -> int:
        """Bind the loopback socket and dial the relays; returns WireGuard's endpoint port."""
        self._pump = UdpPump(self._relays.send, self._log)
        self._relays.start()
        return self._pump.port

    def wireguard_listens(self, port: int) -> None:
        """From here on packets flow, and a direct path is looked for."""
        if self._pump is None:
            return
        self._pump.wireguard_listens(port)
        settings, signals = self._settings, self._signals
        if settings is None or signals is None:
            return
        # A third of all that is loaded for a tunnel, and no first packet waits for it.
        from rclib.tunnel.direct_path import DirectPath, Surroundings  # noqa: PLC0415

        around = Surroundings(self._pump, signals.send, self._relays.redial, self._path_changed)
        self._path = DirectPath(self._session, self._side, settings, around, self._log)
        self._path.start()
        self._signalling_changed()

    def renew(self, relays: tuple[RelayLeg, ...]) -> None:
        self._relays.renew(relays)

    def signalled(self, payload: bytes) -> None:
        """A word of the other end, by the relay or by the control link."""
        if self._signals is not None:
            self._signals.received(payload)

    def control_link_is(self, *, up: bool) -> None:
        """The second way to the other end came or went."""
        self._is_linked = up
        self._signalling_changed()

    def network_changed(self) -> None:
        """Addresses or routes of this machine changed."""
        self._relays.network_changed()
        if self._path is not None:
            self._path.network_changed()

    def path(self) -> PathStatus | None:
        """The path in use; None before WireGuard is up."""
        if self._path is None or self._settings is None:
            return None
        return msgspec.structs.replace(
            self._path.status(),
            relay=self._relays.active or "",
            region=self._relays.region,
            mtu=self._settings.mtu,
        )

    def drops(self) -> Drops:
        """Packets and messages of this session that did not go on, by place."""
        found = Drops({"relay": self._relays.dropped_messages})
        if self._pump is not None:
            found["kernel"] = self._pump.kernel_drops
            counters = self._pump.counters
            found |= {name: getattr(counters, f"dropped_{name}") for name in PUMP_DROPS}
        return found

    async def close(self) -> None:
        """Idempotent."""
        if self._path is not None:
            await self._path.close()
        await self._relays.close()
        if self._pump is not None and not self._is_closed:
            self._is_closed = True
            self._pump.close()
            self._log.info(TUNNEL_ENDED, dropped={k: n for k, n in self.drops().items() if n})

    def _deliver(self, segment: int, packets: memoryview) -> None:
        if self._pump is not None:
            self._pump.deliver(segment, packets)

    def _leg_changed(self, _change: LegChanged) -> None:
        self._signalling_changed()

    def _signalling_changed(self) -> None:
        if self._path is not None:
            self._path.signalling(possible=self._is_linked or self._relays.active is not None)

    def _path_changed(self) -> None:
        status = self.path()
        if self._settings is not None and status is not None:
            self._settings.on_change(status)
