"""All relay legs of one session: kept up, and the first that reaches the partner carries the data.

Both ends hold legs to the same relays in the same order, so both choose the same one without a
word. When it goes, the next carries the next packet.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rclib.runtime.backoff import FullJitter
from rclib.runtime.clock import boottime
from rclib.tunnel.early_messages import EarlyMessages
from rclib.tunnel.relay_client import RelayConnection, dial
from rclib.tunnel.relay_leg import LegEnd, LegState, RelayLegCore
from rclib.wire import relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import RelayLeg
    from rclib.wire.ids import RelayId, Signature
    from rclib.wire.relay import Readable

BACKOFF_BASE_S: Final = 1.0
BACKOFF_CAP_S: Final = 30.0
SPENT_TOKEN_S: Final = 60.0
"""How soon a refused token is tried again if no fresh one comes: a clock may be put right."""
CHECK_S: Final = 5.0

LEG_STATE = "relay_leg_state"
LEG_DOWN = "relay_leg_down"
LEG_TASK_FAILED = "relay_leg_task_failed"


class RelayState(StrEnum):
    """How far the relays carry."""

    CONNECTING = "connecting"  # no relay has admitted this end
    ALONE = "alone"  # the partner is at none of the same relays
    PAIRED = "paired"


@dataclass(frozen=True, slots=True)
class LegChanged:
    """News of one leg; `end` is set when it is over. It will be dialled again."""

    relay: RelayId
    state: LegState
    end: LegEnd | None


class RelaySet:
    """The relay legs of one end of one session."""

    def __init__(
        self,
        legs: tuple[RelayLeg, ...],
        sign: Callable[[bytes], Signature],
        uplink: Uplink,
        log: Logger,
        on_data: Callable[[int, memoryview], None],
        *,
        on_signal: Callable[[bytes], None] = lambda _: None,
        on_change: Callable[[LegChanged], None] = lambda _: None,
    ) -> None:
        # Fixed after construction.
        self._sign = sign
        self._uplink = uplink
        self._log = log
        self._on_data = on_data
        self._on_signal = on_signal
        self._on_change = on_change
        self._order = [leg.relay for leg in legs]
        # Change while it lives.
        self._legs: dict[RelayId, RelayLeg] = {leg.relay: leg for leg in legs}
        self._renewed = {leg.relay: asyncio.Event() for leg in legs}
        self._wake = {leg.relay: asyncio.Event() for leg in legs}
        self._connections: dict[RelayId, RelayConnection] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._active: RelayConnection | None = None
        self._early = EarlyMessages()
        self._dropped_by_ended_legs = 0
        self._dropped_without_partner = 0
        self.paired = asyncio.Event()
        """Set while a leg reaches the partner."""

    def start(self) -> None:
        """Dial all relays at once."""
        if self._tasks:
            raise RuntimeError("a relay set is started once")
        names = [(self._keep_up(name), f"relay-{name}") for name in self._order]
        for job, name in (*names, (self._watch(), "relay-watch")):
            task = asyncio.create_task(job, name=name)
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)

    @property
    def state(self) -> RelayState:
        if self._active is not None:
            return RelayState.PAIRED
        return RelayState.ALONE if self._admitted() else RelayState.CONNECTING

    @property
    def active(self) -> RelayId | None:
        """The relay that carries the data."""
        return self._active.core.relay_id if self._active is not None else None

    @property
    def region(self) -> str:
        """Where that relay stands; empty if there is none."""
        return self._legs[self.active].region if self.active is not None else ""

    @property
    def dropped_messages(self) -> int:
        """Messages given up because no leg reached the partner or the network was too slow."""
        running = sum(connection.dropped for connection in self._connections.values())
        return self._dropped_without_partner + self._dropped_by_ended_legs + running

    def send(self, message: Readable) -> bool:
        """Send a DATA message, which is copied where it must wait; False: it was dropped."""
        if self._active is not None:
            return self._active.send(message)
        if not self._early.keep(message, boottime()):
            self._dropped_without_partner += 1
            return False
        # A relay keeps it for a partner that is about to come: that saves another.
        for connection in self._connections.values():
            if connection.takes_handshakes:
                connection.send(message)
        return True

    def send_signal(self, payload: bytes) -> bool:
        """Send up to relay.MAX_SIGNAL_BYTES to the partner; False: it cannot be reached now."""
        return self._active is not None and self._active.send(relay.encode(relay.Signal(payload)))

    def renew(self, legs: tuple[RelayLeg, ...]) -> None:
        """Use fresh tokens, for legs that are up and for those that will be dialled again."""
        for leg in legs:
            if leg.relay not in self._legs:
                continue
            self._legs[leg.relay] = leg
            self._renewed[leg.relay].set()
            connection = self._connections.get(leg.relay)
            if connection is not None:
                connection.renew(leg.token)

    def network_changed(self) -> None:
        """Give up the legs whose own address this machine has lost, and dial at once."""
        for connection in tuple(self._connections.values()):
            connection.check_address()
        for wake in self._wake.values():
            wake.set()

    def redial(self) -> None:
        """Give up all legs, which do not answer, and dial at once."""
        for connection in tuple(self._connections.values()):
            connection.abandon("it does not answer")
        for wake in self._wake.values():
            wake.set()

    async def close(self) -> None:
        """Close every leg; idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(leg.close() for leg in tuple(self._connections.values())))

    # The legs call these.

    def leg_changed(self, leg: RelayConnection) -> None:
        core = leg.core
        if self._connections.get(core.relay_id) is not leg:
            return
        self._log.info(LEG_STATE, relay=core.relay_id, state=core.state.value)
        if core.state is LegState.ENDED:
            del self._connections[core.relay_id]
            self._dropped_by_ended_legs += leg.dropped
        elif core.state is LegState.PROVED:
            # Behind the proof, without waiting for its answer: that saves a round trip.
            for message in self._early.fresh(boottime()):
                leg.send(message)
        self._choose()
        self._on_change(LegChanged(core.relay_id, core.state, core.end))

    def leg_data(self, segment: int, packets: memoryview) -> None:
        self._on_data(segment, packets)

    def leg_signal(self, payload: bytes) -> None:
        self._on_signal(payload)

    # Internals.

    def _choose(self) -> None:
        up = (self._connections[name] for name in self._order if name in self._connections)
        self._active = next((connection for connection in up if connection.is_paired), None)
        if self._active is None:
            self.paired.clear()
            return
        self.paired.set()
        self._early.clear()  # this relay has it all since the leg's proof

    def _admitted(self) -> list[RelayConnection]:
        return [leg for leg in self._connections.values() if leg.is_admitted]

    async def _keep_up(self, name: RelayId) -> None:
        """Dial one relay again and again, with full jitter, until the set is closed."""
        backoff = FullJitter(BACKOFF_BASE_S, BACKOFF_CAP_S)
        while True:
            self._renewed[name].clear()
            self._wake[name].clear()
            end = await self._one_connection(self._legs[name])
            if end.was_admitted:
                backoff.reset()
            # Nothing depends on this draw being a secret.
            wait_s = end.wait_s + backoff.next(random.random())  # noqa: S311
            self._log.info(
                LEG_DOWN,
                relay=name,
                reason=end.reason.name if end.reason is not None else None,
                detail=end.detail,
                retry_in_s=round(wait_s, 1),
            )
            await self._rest(name, end, wait_s)

    async def _one_connection(self, leg: RelayLeg) -> LegEnd:
        core = RelayLegCore(leg.relay, leg.token, self._sign)
        connection = RelayConnection(core, self)
        self._connections[leg.relay] = connection
        try:
            await dial(leg.url, connection, self._uplink)
            await connection.wait_ended()
        except OSError as exc:
            core.lost(None, str(exc))
            self.leg_changed(connection)
        except Exception as exc:  # noqa: BLE001 - a fault of our own must not end the redialling
            self._log.error(LEG_TASK_FAILED, relay=leg.relay, exc_info=exc)
            core.lost(None, "a fault of this program; its log has the details")
            self.leg_changed(connection)
        if core.end is None:
            raise AssertionError("a connection that ended has said why; see RelayLegCore.lost()")
        return core.end

    async def _rest(self, name: RelayId, end: LegEnd, wait_s: float) -> None:
        """Wait before the next attempt; where only a fresh token helps, for that."""
        if end.was_replaced:
            await self._renewed[name].wait()
        elif end.needs_fresh_token:
            try:
                async with asyncio.timeout(SPENT_TOKEN_S):
                    await self._renewed[name].wait()
            except TimeoutError:
                return
        else:
            self._wake[name].clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake[name].wait()

    async def _watch(self) -> None:
        """Find the relays that went away without a word."""
        while True:
            await asyncio.sleep(CHECK_S)
            for connection in tuple(self._connections.values()):
                # Now rather than at the next look, which would be too late.
                connection.check_silence(boottime() + CHECK_S)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error(LEG_TASK_FAILED, task=task.get_name(), exc_info=task.exception())
