"""All relay legs of one session: kept up, and the first that reaches the partner carries the data.

Both ends hold legs to the same relays in the same order, so both choose the same one without a
word. When it goes, the next is used with the next packet.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from rclib.runtime.backoff import FullJitter
from rclib.tunnel.relay_client import RelayConnection, dial
from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.wire import relay
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.wire.control import RelayLeg
    from rclib.wire.ids import RelayId, Signature

MAX_WAITING: Final = 4
"""Handshakes kept until a leg is up: a lost one costs five seconds."""
BACKOFF_BASE_S: Final = 0.5
BACKOFF_CAP_S: Final = 15.0

LEG_STATE = "relay_leg_state"
LEG_DOWN = "relay_leg_down"


class RelaySet:
    """The relay legs of one end of one session."""

    def __init__(
        self,
        legs: tuple[RelayLeg, ...],
        sign: Callable[[bytes], Signature],
        tls: ssl.SSLContext,
        log: Logger,
        on_data: Callable[[int, memoryview], None],
        on_signal: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        # Fixed after construction.
        self._sign = sign
        self._tls = tls
        self._log = log
        self._on_data = on_data
        self._on_signal = on_signal
        # Change while it lives.
        self._order = [leg.relay for leg in legs]
        self._legs: dict[RelayId, RelayLeg] = {leg.relay: leg for leg in legs}
        self._connections: dict[RelayId, RelayConnection] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._active: RelayConnection | None = None
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.paired = asyncio.Event()

    def start(self) -> None:
        """Dial all relays at once."""
        self._tasks = [
            asyncio.create_task(self._keep_up(name), name=f"relay-{name}") for name in self._order
        ]

    def send(self, message: bytes) -> bool:
        """Send a DATA message over the leg that carries the data; False: it was dropped."""
        first_class = relay.is_handshake(memoryview(message)[relay.DATA_HEADER_BYTES :])
        if self._active is not None:
            return self._active.send(message, first_class=first_class)
        # A relay keeps handshakes for a partner that is not there yet, and so do we for a relay.
        alone = self._first_admitted()
        if alone is not None:
            return alone.send(message, first_class=first_class)
        if first_class:
            self._waiting.append(message)
        return False

    def send_signal(self, payload: bytes) -> bool:
        return self._active is not None and self._active.send(
            relay.encode(relay.Signal(payload)), first_class=True
        )

    def renew(self, legs: tuple[RelayLeg, ...]) -> None:
        """Use fresh tokens, for legs that are up and for those that will be dialled again."""
        for leg in legs:
            if leg.relay not in self._legs:
                continue
            self._legs[leg.relay] = leg
            connection = self._connections.get(leg.relay)
            if connection is not None:
                connection.renew(leg.token)

    async def close(self) -> None:
        """Close every leg; idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._active = None

    # The legs call these.

    def leg_changed(self, leg: RelayConnection) -> None:
        name = next((n for n, c in self._connections.items() if c is leg), None)
        self._log.info(LEG_STATE, relay=name, state=leg.core.state.value)
        self._active = next(
            (
                self._connections[n]
                for n in self._order
                if n in self._connections and self._connections[n].is_paired
            ),
            None,
        )
        if self._active is not None:
            self.paired.set()
        else:
            self.paired.clear()
        target = self._active or self._first_admitted()
        while target is not None and self._waiting:
            target.send(self._waiting.popleft(), first_class=True)

    def leg_data(self, segment: int, packets: memoryview) -> None:
        self._on_data(segment, packets)

    def leg_signal(self, payload: bytes) -> None:
        self._on_signal(payload)

    # Internals.

    def _first_admitted(self) -> RelayConnection | None:
        admitted = (LegState.ALONE, LegState.PAIRED)
        return next(
            (
                self._connections[n]
                for n in self._order
                if n in self._connections and self._connections[n].core.state in admitted
            ),
            None,
        )

    async def _keep_up(self, name: RelayId) -> None:
        """Dial one relay again and again, with full jitter, until the set is closed."""
        backoff = FullJitter(BACKOFF_BASE_S, BACKOFF_CAP_S)
        while True:
            leg = self._legs[name]
            core = RelayLegCore(leg.relay, leg.token, self._sign)
            connection = RelayConnection(core, self)
            self._connections[name] = connection
            was_admitted = False
            try:
                await dial(leg.url, connection, self._tls)
                await connection.ended.wait()
                was_admitted = core.end is not None and core.end.reason is not (
                    CloseReason.TOKEN_EXPIRED
                )
            except OSError as exc:
                core.lost(None, str(exc))
            end = core.end
            self._log.info(
                LEG_DOWN,
                relay=name,
                reason=end.reason.name if end and end.reason is not None else None,
                detail=end.detail if end else "",
            )
            if was_admitted:
                backoff.reset()
            # The share is drawn where nothing depends on its secrecy.
            wait_s = backoff.next(random.random())  # noqa: S311
            await asyncio.sleep(wait_s + (end.wait_s if end else 0))
