"""One leg's connection. The only module of relayd that knows picows.

A DATA message goes from the read callback of one leg into the write of the other: no task, no
await, nothing per packet. All that one read brought leaves in one write. What a slow leg does
not take waits in its own queue, so that no reader ever waits for another leg.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

import picows

from rclib.runtime.clock import boottime
from rclib.tunnel.send_queue import SendQueue, is_first_class
from rclib.tunnel.tcp_options import tune
from rclib.wire import relay
from rclib.wire.bursts import is_burst
from rclib.wire.relay import CloseReason
from relayd.reasons import DropReason
from relayd.receive_rate import ReceiveRate
from relayd.rfc6455 import binary_header, may_close
from relayd.turns import IDLE_BUFFER_BYTES, TURN_BYTES, limit_turns
from relayd.websocket_log import websocket_logger

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from rclib.runtime.logs import RateLimitedLogger
    from rclib.wire.identity import Side
    from rclib.wire.ids import SessionId
    from relayd.commands import LegId

PATH: Final = "/relay"
BACKLOG: Final = 4096
SHUTDOWN_TIMEOUT_S: Final = 1.0
WRITE_BUFFER_BYTES: Final = 64 * 1024
"""What the transport takes before the queue fills, where the oldest data can still go first."""

_CLOSE_CODES: Final = {
    CloseReason.DONE: picows.WSCloseCode.OK,
    CloseReason.BAD_FRAME: picows.WSCloseCode.PROTOCOL_ERROR,
    CloseReason.TOO_MANY: picows.WSCloseCode.TRY_AGAIN_LATER,
    CloseReason.SHUTTING_DOWN: picows.WSCloseCode.SERVICE_RESTART,
}


class LegEvents(Protocol):
    """What the relay does with a leg's news."""

    def leg_connected(self, leg: Leg) -> None: ...
    def leg_received(self, leg: Leg, message: memoryview) -> None: ...
    def leg_heard(self, leg: Leg) -> None: ...
    def leg_blocked(self, leg: Leg) -> None: ...
    def leg_resumed(self, leg: Leg) -> None: ...
    def leg_ended(self, leg: Leg, reason: CloseReason, detail: str) -> None: ...
    def leg_disconnected(self, leg: Leg) -> None: ...


class Traffic:
    """What went through; plain numbers, because a locked counter costs as much as a packet."""

    __slots__ = ("bytes", "dropped", "messages")

    def __init__(self) -> None:
        self.dropped = dict.fromkeys(DropReason, 0)
        self.reset()

    def reset(self) -> None:
        """Start over; what was counted has been reported."""
        self.bytes = 0
        self.messages = 0
        self.dropped.update(dict.fromkeys(DropReason, 0))


class Leg(picows.WSListener):
    """One connection that has asked for PATH."""

    def __init__(
        self,
        leg: LegId,
        events: LegEvents,
        total: Traffic,
        queue_bytes: int,
        receive_bytes_per_s: int | None = None,
    ) -> None:
        # Fixed after construction.
        self.id = leg
        self._events = events
        self._total = total
        # Set by the relay's rules.
        self.session: SessionId | None = None
        self.side: Side | None = None
        self.partner: Leg | None = None
        """Where DATA goes."""
        # Of the connection.
        self.peer: tuple[object, ...] = ()
        self.opened_at = boottime()
        self.traffic = Traffic()
        """Passed on from this leg; dropped on the way to it, or for want of a partner."""
        self.end: tuple[CloseReason, str] | None = None
        self._close_code: picows.WSCloseCode | None = None
        self._transport: picows.WSTransport | None = None
        self._is_blocked = False
        self._queue = SendQueue(queue_bytes)
        self._rate: ReceiveRate | None = None
        if receive_bytes_per_s is not None:
            largest = relay.MAX_MESSAGE_BYTES
            self._rate = ReceiveRate(receive_bytes_per_s, largest, self.opened_at)
        self._read_bytes = 0
        """Since the rate was last asked."""
        self._is_resting = False
        self._gathered: list[bytes] = []
        """Messages of one read of the partner, to be written at once."""

    # Orders of the relay.

    def send(self, message: bytes) -> None:
        """Write one message now, or queue it behind what waits."""
        if self._transport is None or self.end is not None:
            return
        if self._is_blocked:
            self._enqueue(message)
        else:
            self._transport.send(picows.WSMsgType.BINARY, message)

    def drop(self, reason: DropReason, messages: int = 1) -> None:
        """Count messages that are not passed on."""
        self.traffic.dropped[reason] += messages
        self._total.dropped[reason] += messages

    def close(self, reason: CloseReason, detail: str) -> None:
        """Say why, then close once that is written; idempotent."""
        if self.end is not None:
            return
        self.end = reason, detail
        self._drop_waiting()
        transport = self._transport
        if transport is None:
            return
        if not transport.is_close_frame_sent:
            goodbye = relay.encode(relay.Close(reason, detail))
            transport.send(picows.WSMsgType.BINARY, goodbye)
            default = picows.WSCloseCode.POLICY_VIOLATION
            transport.send_close(self._close_code or _CLOSE_CODES.get(reason, default))
        transport.disconnect()

    def abort(self) -> None:
        """Cut the connection; idempotent."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # picows calls these.

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        underlying = transport.underlying_transport
        self.peer = underlying.get_extra_info("peername")
        underlying.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        tune(underlying.get_extra_info("socket"))
        self._events.leg_connected(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if self.end is not None:
            return
        is_last = frame.last_in_buffer
        if self._rate is not None:
            self._read_bytes += len(frame.get_payload_as_memoryview())
        is_plain = not (frame.rsv1 or frame.rsv2 or frame.rsv3)
        if frame.msg_type is picows.WSMsgType.BINARY and frame.fin and is_plain:
            message = frame.get_payload_as_memoryview()
            if self.partner is not None and is_burst(message):
                self._count(len(message))
                self.partner.pass_on(message, is_last=is_last)
            else:
                self._events.leg_received(self, message)
        else:
            self._other_frame(transport, frame)
        if is_last:
            if self.partner is not None:
                self.partner.flush()
            self._events.leg_heard(self)
            if self._rate is not None:
                self._slow_down(self._rate)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - picows
        self._transport = None
        self._drop_waiting()
        self._events.leg_disconnected(self)

    def pause_writing(self) -> None:
        self._is_blocked = True
        self._events.leg_blocked(self)

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._events.leg_resumed(self)
        while not self._is_blocked and self._transport is not None and self.end is None:
            message = self._queue.pop()
            if message is None:
                break
            self._transport.send(picows.WSMsgType.BINARY, message)

    # The partner's reader calls these.

    def pass_on(self, message: memoryview, *, is_last: bool) -> None:
        """Take a message of the partner, valid during this call; `flush` follows the last."""
        if self._transport is None or self.end is not None:
            self.drop(DropReason.LEG_CLOSED)
        elif is_last and not self._gathered and not self._is_blocked:
            self._transport.send(picows.WSMsgType.BINARY, message)
        else:
            self._gathered.append(bytes(message))

    def flush(self) -> None:
        """Write what one read of the partner brought, at once."""
        gathered = self._gathered
        if not gathered:
            return
        self._gathered = []
        if self._transport is None or self.end is not None:
            self.drop(DropReason.LEG_CLOSED, len(gathered))
        elif self._is_blocked:
            for message in gathered:
                self._enqueue(message)
        else:
            pieces = [piece for message in gathered for piece in (binary_header(message), message)]
            self._transport.underlying_transport.write(b"".join(pieces))

    # Internals.

    def _other_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Do what RFC 6455 asks for where picows leaves it to its user."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            # picows knows no extension either, but reads on.
            self._events.leg_ended(self, CloseReason.BAD_FRAME, "no extension was negotiated")
        elif kind is picows.WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is picows.WSMsgType.CLOSE:
            if may_close(frame.get_payload_as_bytes()):
                transport.send_close(picows.WSCloseCode.OK)
                self._events.leg_ended(self, CloseReason.DONE, "closed by its own end")
            else:
                detail = "no close code of RFC 6455"
                self._events.leg_ended(self, CloseReason.BAD_FRAME, detail)
        elif kind is not picows.WSMsgType.PONG:
            self._close_code = picows.WSCloseCode.UNSUPPORTED_DATA
            detail = "only whole binary messages are understood"
            self._events.leg_ended(self, CloseReason.BAD_FRAME, detail)

    def _slow_down(self, rate: ReceiveRate) -> None:
        size, self._read_bytes = self._read_bytes, 0
        if rate.took(size, boottime()) > 0 and not self._is_resting:
            self._is_resting = True
            # Not from within the read: aiofastnet 1.2.0 forgets what it has already taken from the
            # socket if it is paused before it has handed that over.
            asyncio.get_running_loop().call_soon(self._rest, rate)

    def _rest(self, rate: ReceiveRate) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()
        wait_s = rate.took(0, boottime())
        asyncio.get_running_loop().call_later(wait_s, self._read_on)

    def _read_on(self) -> None:
        self._is_resting = False
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def _count(self, size: int) -> None:
        self.traffic.bytes += size
        self.traffic.messages += 1
        self._total.bytes += size
        self._total.messages += 1

    def _enqueue(self, message: bytes) -> None:
        dropped = self._queue.push(message)
        if dropped:
            reason = (
                DropReason.FIRST_LANE_FULL if is_first_class(message) else DropReason.QUEUE_FULL
            )
            self.drop(reason, dropped)

    def _drop_waiting(self) -> None:
        self.drop(DropReason.LEG_CLOSED, self._queue.clear() + len(self._gathered))
        self._gathered = []


async def serve(
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    upgrade_timeout_s: float,
    new_leg: Callable[[], Leg],
    log: RateLimitedLogger,
) -> asyncio.Server:
    """Serve legs on a bound socket until the server is closed; it owns the socket then."""

    def route(request: picows.WSUpgradeRequest) -> Leg | None:
        # None is answered with 404. Browsers, which send Origin, have no business here.
        if request.path != PATH.encode() or "Origin" in request.headers:
            return None
        return new_leg()

    limit_turns()
    return await picows.ws_create_server(
        route,
        sock=listener,
        ssl=tls,
        backlog=BACKLOG,
        websocket_handshake_timeout=upgrade_timeout_s,
        max_frame_size=relay.MAX_MESSAGE_BYTES,
        read_buffer_init_size=IDLE_BUFFER_BYTES,
        # Every frame is to reach on_ws_frame: the last of a read may be a PING.
        enable_auto_pong=False,
        logger_name=logging.LoggerAdapter(websocket_logger(log)),
        ssl_handshake_timeout=upgrade_timeout_s if tls is not None else None,
        ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S if tls is not None else None,
        ssl_incoming_bio_size=TURN_BYTES if tls is not None else None,
    )
