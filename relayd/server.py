"""The relay's sockets around its pure core; the only module that knows picows.

A message is read, looked up and written in one callback: no task, no await, and the reader of
one leg never waits for another. What a slow leg does not take waits in its own queue.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import picows

from rclib.runtime.clock import boottime, wall_ms
from rclib.runtime.errors import StartError, bind_error
from rclib.runtime.logs import RateLimitedLogger
from rclib.runtime.net import parse_endpoint
from rclib.runtime.tlsfiles import server_context
from rclib.wire import relay
from rclib.wire.admission import key_id_of, load_key
from rclib.wire.errors import DecodeError
from rclib.wire.ids import Nonce
from rclib.wire.relay import CloseReason, FrameType
from relayd.channels import Channels, Command, LegId, Send, is_first_class
from relayd.metrics import Metrics
from relayd.send_queue import DropReason, SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc.jwk import OKPKey

    from rclib.runtime.context import Context
    from relayd.config import RelaydConfig

# One line per leg at its end is ours; picows would write two more, with addresses.
logging.getLogger("picows").setLevel(logging.WARNING)

PATH: Final = "/relay"
RETRY_IN_MS: Final = 2000
TICK_S: Final = 1.0
MIN_TICK_S: Final = 0.05
BACKLOG: Final = 1024
TCP_NOTSENT_LOWAT: Final = 25
NOTSENT_BYTES: Final = 128 * 1024
"""Unsent bytes the kernel takes: it is not to be a second, invisible queue."""
USER_TIMEOUT_MS: Final = 15_000

LEG_CLOSED = "leg_closed"


class Leg(picows.WSListener):
    """One connection."""

    def __init__(self, server: RelayServer, leg: LegId) -> None:
        self._server = server
        self.id = leg
        self.transport: picows.WSTransport | None = None
        self.address = ""
        self.queue = SendQueue(server.config.queue_bytes)
        self.paused_since: float | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        underlying = transport.underlying_transport
        self.address = str((underlying.get_extra_info("peername") or ("?",))[0])
        underlying.set_write_buffer_limits(high=NOTSENT_BYTES)
        _tune(underlying.get_extra_info("socket"))
        self._server.leg_connected(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.BINARY and frame.fin:
            self._server.leg_received(self, frame.get_payload_as_memoryview())
        elif frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type not in (picows.WSMsgType.PING, picows.WSMsgType.PONG):
            self._server.refuse_frame(self)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - picows
        self.transport = None
        self._server.leg_disconnected(self)

    def pause_writing(self) -> None:
        self.paused_since = boottime()

    def resume_writing(self) -> None:
        self.paused_since = None
        while self.paused_since is None and self.transport is not None:
            message = self.queue.pop()
            if message is None:
                break
            self.transport.send(picows.WSMsgType.BINARY, message)

    def send(self, message: bytes | memoryview, *, first_class: bool) -> int:
        """Write now, or queue behind what waits; returns how many messages that dropped."""
        if self.transport is None:
            return 0
        if self.paused_since is None:
            self.transport.send(picows.WSMsgType.BINARY, message)
            return 0
        return self.queue.push(bytes(message), first_class=first_class)

    def close(self, reason: CloseReason, detail: str) -> None:
        if self.transport is None:
            return
        self.transport.send(picows.WSMsgType.BINARY, relay.encode(relay.Close(reason, detail)))
        self.transport.send_close(picows.WSCloseCode.POLICY_VIOLATION)
        self.transport.disconnect()


class RelayServer:
    """All legs of one process."""

    def __init__(self, config: RelaydConfig, ctx: Context) -> None:
        self.config = config
        self._ctx = ctx
        self._metrics = Metrics(ctx.metrics)
        self._log = RateLimitedLogger(ctx.log, interval_s=10)
        self._legs: dict[LegId, Leg] = {}
        self._unadmitted: dict[str, int] = {}
        self._numbers = count(1)
        self._core = Channels(
            config.relay,
            {key_id_of(key): key for key in map(_read_key, config.token_keys)},
            hello_timeout_s=config.hello_timeout_s,
            new_nonce=lambda: Nonce(secrets.token_bytes(relay.NONCE_BYTES)),
        )
        self.port = 0

    async def run(self, on_listening: Callable[[int], None]) -> None:
        """Serve until the process is asked to stop, then say goodbye to every leg."""
        endpoint = parse_endpoint(self.config.listen)
        tls = None
        if not self.config.insecure_plaintext:
            tls = server_context(Path(self.config.certificate), Path(self.config.key))
        try:
            server = await picows.ws_create_server(
                self._route,
                str(endpoint.host),
                endpoint.port,
                ssl=tls,
                websocket_handshake_timeout=5,
                max_frame_size=relay.MAX_MESSAGE_BYTES,
                backlog=BACKLOG,
                logger_name="relayd",
            )
        except OSError as exc:
            raise bind_error(exc, f"TCP {endpoint}") from None
        try:
            on_listening(server.sockets[0].getsockname()[1])
            ticker = asyncio.create_task(self._tick())
            await self._ctx.stopping.wait()
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        finally:
            server.close()
            self._say_goodbye()

    # Events.

    def leg_connected(self, leg: Leg) -> None:
        self._legs[leg.id] = leg
        self._core.connected(leg.id, boottime())
        here = self._unadmitted.get(leg.address, 0) + 1
        self._unadmitted[leg.address] = here
        self._metrics.legs.set(len(self._legs))
        if here > self.config.max_unadmitted_per_address:
            self._do(self._core.close(leg.id, CloseReason.TOO_MANY, "too many connections at once"))

    def leg_received(self, leg: Leg, message: memoryview) -> None:
        now = boottime()
        kind = message[0] if len(message) else 0
        if kind in (FrameType.DATA, FrameType.SIGNAL) and self._core.is_admitted(leg.id):
            try:
                relay.decode(message)
            except DecodeError:
                pass  # judged below, where the leg is closed for it
            else:
                self._pass_on(leg, message, now)
                return
        was_admitted = self._core.is_admitted(leg.id)
        self._do(self._core.received(leg.id, message, now, wall_ms() / 1000))
        if not was_admitted and self._core.is_admitted(leg.id):
            self._no_longer_unadmitted(leg)
            self._metrics.channels.set(self._core.counts[1])

    def leg_disconnected(self, leg: Leg) -> None:
        if self._legs.pop(leg.id, None) is None:
            return
        if not self._core.is_admitted(leg.id):
            self._no_longer_unadmitted(leg)
        self._do(self._core.closed(leg.id))
        self._show()

    def refuse_frame(self, leg: Leg) -> None:
        self._do(
            self._core.close(
                leg.id, CloseReason.BAD_FRAME, "only whole binary messages are understood"
            )
        )

    # The packet's way.

    def _pass_on(self, leg: Leg, message: memoryview, now: float) -> None:
        partner = self._legs.get(self._core.partner_for_data(leg.id, message, now) or 0)
        if partner is None:
            self._metrics.dropped[DropReason.NO_PARTNER].inc()
            return
        first_class = is_first_class(message)
        dropped = partner.send(message, first_class=first_class)
        self._metrics.bytes.inc(len(message))
        if dropped:
            reason = DropReason.FIRST_LANE_FULL if first_class else DropReason.QUEUE_FULL
            self._metrics.dropped[reason].inc(dropped)

    # Commands and the clock.

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            leg = self._legs.get(command.leg)
            if leg is None:
                continue
            if isinstance(command, Send):
                leg.send(command.message, first_class=True)
                continue
            self._metrics.closed[command.reason].inc()
            self._log.info(
                LEG_CLOSED,
                once_per=(leg.address, command.reason),
                reason=command.reason.name,
                detail=command.detail,
                address=leg.address,
            )
            leg.close(command.reason, command.detail)

    async def _tick(self) -> None:
        """One ticker for all legs: leases, pings, admission and slow readers."""
        while True:
            now = boottime()
            self._do(self._core.due(now))
            for leg in tuple(self._legs.values()):
                since = leg.paused_since
                if since is not None and now - since > self.config.write_deadline_s:
                    self._do(
                        self._core.close(leg.id, CloseReason.TOO_SLOW, "does not read its data")
                    )
                    if leg.transport is not None:
                        # What it did not read would hold the connection open.
                        leg.transport.underlying_transport.abort()
            self._show()
            self._ctx.healthy()
            deadline = self._core.deadline()
            wait_s = TICK_S if deadline is None else min(TICK_S, deadline - now)
            await asyncio.sleep(max(MIN_TICK_S, wait_s))

    def _show(self) -> None:
        legs, channels = self._core.counts
        self._metrics.legs.set(legs)
        self._metrics.channels.set(channels)

    def _no_longer_unadmitted(self, leg: Leg) -> None:
        left = self._unadmitted.get(leg.address, 0) - 1
        if left > 0:
            self._unadmitted[leg.address] = left
        else:
            self._unadmitted.pop(leg.address, None)

    def _say_goodbye(self) -> None:
        restarting = relay.encode(relay.Restarting(RETRY_IN_MS))
        for leg in self._core.all_legs:
            self._do([Send(leg, restarting)])
            self._do(self._core.close(leg, CloseReason.SHUTTING_DOWN, "the relay ends"))

    def _route(self, request: picows.WSUpgradeRequest) -> Leg | None:
        """None is answered with 404; browsers (which send Origin) have no business here."""
        if request.path.decode("ascii", "replace") != PATH or "Origin" in request.headers:
            return None
        return Leg(self, next(self._numbers))


def _read_key(path: str) -> OKPKey:
    try:
        return load_key(Path(path).read_bytes())
    except (OSError, DecodeError) as exc:
        raise StartError(
            f"token_keys: {path} cannot be used: {exc}; it is controld's token-key.pub.pem"
        ) from None


def _tune(connection: socket.socket | None) -> None:
    """Settings that matter on a bad network; a socket without them still works."""
    if connection is None or connection.family == socket.AF_UNIX:
        return
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (TCP_NOTSENT_LOWAT, NOTSENT_BYTES),
        (getattr(socket, "TCP_USER_TIMEOUT", 18), USER_TIMEOUT_MS),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
