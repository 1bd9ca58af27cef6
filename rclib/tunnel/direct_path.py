"""Carries out `rclib.tunnel.path_policy` for one session: ICE, the gate's verbs, clock and signals.

One task does everything in order; events wait in its queue. In the order of an attempt: gather and
offer, check, hand the port over to WireGuard, watch, return.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from rclib.runtime.clock import boottime, wall_ms
from rclib.tunnel.gate_errors import GateRefused, GateUnavailable
from rclib.tunnel.ice_attempt import IceAttempt
from rclib.tunnel.own_addresses import source_towards
from rclib.tunnel.path_policy import (
    Changed,
    CheckRelay,
    PathCommand,
    PathPolicy,
    PathState,
    PointToPeer,
    PointToRelay,
    Probe,
    Signal,
    StartIce,
    StopIce,
    TakePort,
)
from rclib.tunnel.relay_echo import RelayEcho
from rclib.wire.gate import UdpEndpoint
from rclib.wire.path_signal import (
    Echo,
    EchoReply,
    FellBack,
    IceAnswer,
    IceCandidates,
    IceOffer,
    Moved,
    MoveRequest,
    RestartRequest,
    SignalBody,
)
from rclib.wire.session import PathKind, PathStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.tunnel.path_settings import PathSettings
    from rclib.tunnel.udp_pump import UdpPump
    from rclib.wire.identity import Side
    from rclib.wire.ids import SessionId

HANDSHAKE_POLL_S: Final = 0.1
PROBATION_POLL_S: Final = 0.02
WATCH_S: Final = 0.5
"""How often a direct path's counters are read, and a silent one is probed."""
FIRST_ECHO_S: Final = 1.0
"""After the first handshake."""
LOOPBACK: Final = "127.0.0.1"

PATH_CHANGED = "path_changed"
PATH_FAILED = "path_attempt_failed"
PATH_TASK_FAILED = "path_task_failed"

Event: TypeAlias = "Callable[[float], list[PathCommand]]"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else the session's end consists of."""

    pump: UdpPump
    send: Callable[[SignalBody], bool]
    """Says something to the other end; False: nobody can carry it now."""
    redial: Callable[[], None]
    """Gives up the relay legs, which do not answer."""
    on_change: Callable[[], None]


class DirectPath:
    """One end's search for, and care of, a direct path."""

    def __init__(
        self,
        session: SessionId,
        side: Side,
        settings: PathSettings,
        around: Surroundings,
        log: Logger,
    ) -> None:
        # Fixed after construction.
        self._session = session
        self._redial = around.redial
        self._gate = settings.gate
        self._pump = around.pump
        self._send = around.send
        self._on_change = around.on_change
        self._log = log
        self.policy = PathPolicy(side)
        self._ice = IceAttempt(side, settings.stun, around.send, self, log)
        self._echo = RelayEcho(around.send)
        # Of the task.
        self._events: asyncio.Queue[Event | SignalBody] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._poll_at: float | None = None
        # Of the path in use.
        self._direct: UdpEndpoint | None = None
        self._source: str | None = None
        self._is_repointing = False
        self._has_handshake = False
        self._counted = (0, 0)
        # For people.
        self._kind = PathKind.CONNECTING
        self._since_ms = wall_ms()
        self._detail = ""

    def start(self) -> None:
        """WireGuard is up."""
        self._poll_at = boottime()
        self._task = asyncio.create_task(self._run(), name=f"path-{self._session}")

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._ice.close()

    def status(self) -> PathStatus:
        pair, is_direct = self._ice.pair, self._kind is PathKind.DIRECT
        rtt_s = pair.rtt_s if is_direct and pair is not None else self._echo.rtt_s
        return PathStatus(
            kind=self._kind,
            since_ms=self._since_ms,
            detail=self._detail[:500],
            own_endpoint=self._ice.own_endpoint if is_direct else "",
            peer_endpoint=str(self._direct) if is_direct and self._direct else "",
            rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 1),
            loss_percent=self._echo.loss_percent,
        )

    # Events from outside.

    def signalled(self, body: SignalBody) -> None:
        """The other end said something, and its signature was right."""
        self._events.put_nowait(body)

    def signalling(self, *, possible: bool) -> None:
        self._events.put_nowait(lambda now: self.policy.signalling(now, possible=possible))

    def network_changed(self) -> None:
        """Addresses or routes of this machine changed."""
        self._events.put_nowait(self._on_network)

    def ice_nominated(self, attempt: int) -> None:
        self._events.put_nowait(lambda now: self.policy.nominated(attempt, now))

    def ice_failed(self, attempt: int, detail: str) -> None:
        self._events.put_nowait(lambda now: self.policy.ice_failed(attempt, now, detail))

    # The task.

    async def _run(self) -> None:
        while True:
            try:
                await self._one_turn()
            except (GateRefused, GateUnavailable) as exc:
                # The session ends by its own ways if the gate is gone; the relay still carries it.
                self._log.info(PATH_FAILED, reason=str(exc))
            except Exception as exc:  # noqa: BLE001 - a fault of our own must not end the session
                self._log.error(PATH_TASK_FAILED, exc_info=exc)
                await asyncio.sleep(WATCH_S)

    async def _one_turn(self) -> None:
        echo = self._echo
        times = (self._poll_at, self.policy.deadline(), echo.ask_at, echo.answer_by)
        wake_at = min((time for time in times if time is not None), default=None)
        try:
            async with asyncio.timeout(None if wake_at is None else max(0, wake_at - boottime())):
                event = await self._events.get()
        except TimeoutError:
            pass
        else:
            await self._take(event)
        now = boottime()
        if self._poll_at is not None and now >= self._poll_at:
            self._poll_at = now + WATCH_S  # also if the gate refuses
            await self._measure()
            self._set_poll()
        if echo.ask_at is not None and now >= echo.ask_at:
            echo.ask(now)
        if echo.answer_by is not None and now >= echo.answer_by:
            echo.answer_by = None
            self._redial()
        await self._do(self.policy.due(boottime()))
        self._set_poll()

    def _set_poll(self) -> None:
        match self.policy.state:
            case PathState.PROBATION:
                wait_s: float | None = PROBATION_POLL_S
            case PathState.DIRECT:
                wait_s = WATCH_S
            case _:
                wait_s = None if self._has_handshake else HANDSHAKE_POLL_S
        if wait_s is None:
            self._poll_at = None
        elif self._poll_at is None or self._poll_at > boottime() + wait_s:
            self._poll_at = boottime() + wait_s

    async def _take(self, event: Event | SignalBody) -> None:
        now = boottime()
        match event:
            case IceOffer(attempt):
                self._ice.offered(event)
                await self._do(self.policy.offered(attempt, now))
            case IceAnswer(attempt):
                if attempt == self.policy.attempt and self.policy.state is PathState.GATHERING:
                    await self._do(self.policy.answered(attempt, now))
                    await self._ice.check(attempt, event)
            case IceCandidates(attempt, candidates, is_last):
                if attempt == self.policy.attempt:
                    await self._ice.add(candidates, is_last=is_last)
            case MoveRequest(attempt):
                await self._do(self.policy.asked_to_move(attempt, now))
            case Moved(attempt):
                await self._do(self.policy.moved(attempt, now))
            case FellBack(attempt, detail):
                await self._do(self.policy.fell_back(attempt, now, detail))
            case RestartRequest():
                await self._do(self.policy.restart_requested(now))
            case Echo(token):
                await self._count()
                self._send(EchoReply(token, *self._counted))
            case EchoReply():
                await self._count()
                self._echo.answered(event, self._counted, now)
            case _:
                await self._do(event(now))

    async def _do(self, commands: list[PathCommand]) -> None:
        for command in commands:
            match command:
                case StartIce(attempt):
                    await self._ice.start(attempt)
                case StopIce():
                    await self._ice.close()
                case TakePort(attempt, point):
                    await self._take_port(attempt, point=point)
                case PointToRelay():
                    await self._point_to_relay()
                case PointToPeer():
                    await self._point_to_peer()
                case Signal(body):
                    self._send(body)
                case Probe():
                    await self._gate.probe(self._session)
                case CheckRelay():
                    self._echo.ask(boottime(), urgently=True)
                case Changed(is_direct, detail):
                    self._changed(is_direct=is_direct, detail=detail)

    # The hand-over.

    async def _take_port(self, attempt: int, *, point: bool) -> None:
        pair = self._ice.pair
        if pair is None or not self._ice.is_running:
            await self._do(self.policy.port_refused(attempt, boottime(), "the pair is gone"))
            return
        self._direct = UdpEndpoint(pair.remote_address, pair.remote_port)
        if not self._ice.own_endpoint:
            self._ice.own_endpoint = str(UdpEndpoint(pair.local_address, pair.local_port))
        self._source = source_towards(pair.remote_address)
        self._pump.wireguard_will_move(pair.local_port)
        done = False
        try:
            # The NAT's binding belongs to the port: it waits for WireGuard the few milliseconds.
            await self._ice.close()
            await self._gate.steer(
                self._session,
                listen_port=pair.local_port,
                endpoint=self._direct if point else None,
            )
            done = True
            received = await self._count()
        except (GateRefused, GateUnavailable) as exc:
            commands = self.policy.port_refused(attempt, boottime(), str(exc))
        else:
            commands = self.policy.port_taken(attempt, received, boottime())
        finally:
            self._pump.wireguard_has_moved(done=done)
            if done and point:
                self._pump.batch(self._repoint)
            else:
                self._pump.release()
        await self._do(commands)

    async def _point_to_relay(self) -> None:
        self._pump.batch(None)
        await self._gate.steer(self._session, endpoint=UdpEndpoint(LOOPBACK, self._pump.port))

    async def _point_to_peer(self) -> None:
        if self._direct is not None:
            await self._gate.steer(self._session, endpoint=self._direct)

    def _repoint(self) -> None:
        """What came by the relay has turned WireGuard's answers there."""
        if not self._is_repointing:
            self._is_repointing = True
            self._events.put_nowait(lambda _: [])
            self._poll_at = boottime()

    # Watching.

    async def _count(self) -> int:
        """Read the counters; returns the bytes that came in directly."""
        relayed = self._pump.counters.to_wireguard_bytes
        for tunnel in await self._gate.measure():
            if tunnel.session == self._session:
                self._counted = (tunnel.received_bytes, tunnel.sent_bytes)
                self._has_handshake = tunnel.handshake_age_s is not None
                await self._follow(tunnel.endpoint)
        return self._counted[0] - relayed

    async def _follow(self, endpoint: UdpEndpoint | None) -> None:
        """WireGuard follows its peer: to a new address, which is right, or to the relay."""
        if endpoint is None:
            return
        if endpoint.address != LOOPBACK:
            self._direct = endpoint
        elif self.policy.state is PathState.DIRECT or self._is_repointing:
            self._is_repointing = False
            await self._point_to_peer()

    async def _measure(self) -> None:
        received = await self._count()
        self._is_repointing = False
        now = boottime()
        commands = self.policy.measured(received, self._counted[1], now)
        if self._has_handshake:
            if self._kind is PathKind.CONNECTING:
                self._kind, self._since_ms = PathKind.RELAY, wall_ms()
                self._echo.ask_at = now + FIRST_ECHO_S
                self._on_change()
            commands += self.policy.handshaken(now)
        await self._do(commands)

    def _on_network(self, now: float) -> list[PathCommand]:
        broken = True
        if self.policy.state is PathState.DIRECT and self._direct is not None:
            broken = source_towards(self._direct.address) != self._source
        return self.policy.network_changed(now, broken=broken)

    def _changed(self, *, is_direct: bool, detail: str) -> None:
        was, self._detail = self._kind, detail
        self._kind = PathKind.DIRECT if is_direct else PathKind.RELAY
        if self._kind is was:
            self._log.info(PATH_FAILED, reason=detail)
            return
        self._since_ms = wall_ms()
        if is_direct:
            self._pump.batch(self._repoint)
        self._log.info(PATH_CHANGED, path=self._kind.value, detail=detail)
        self._on_change()
