"""The connection under one relay leg; the only module of the tunnel that knows picows.

A message is written in the callback that has it. What the network does not take waits in a
bounded queue whose oldest data go first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import picows
from python_socks import ProxyError

from rclib.runtime.clock import boottime
from rclib.tunnel.name_lookup import Dial
from rclib.tunnel.own_addresses import source_towards
from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.tunnel.send_queue import SendQueue
from rclib.tunnel.tcp_options import tune
from rclib.wire import relay
from rclib.wire.errors import DecodeError
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    import ssl

    from rclib.tunnel.uplink import Uplink
    from rclib.wire.relay import Readable

DIAL_TIMEOUT_S: Final = 10.0
GOODBYE_S: Final = 1.0
QUEUE_BYTES: Final = 256 * 1024
WRITE_BUFFER_BYTES: Final = 64 * 1024
"""What the transport takes before the queue fills, where the oldest data can still go first."""

# picows logs every connection and every fault of a peer; RelaySet does, with less noise.
_SILENT: Final = logging.getLogger(__name__)
_SILENT.setLevel(logging.CRITICAL)


class LegHandler(Protocol):
    """What the set of legs does with one leg's news."""

    def leg_changed(self, leg: RelayConnection) -> None: ...
    def leg_data(self, segment: int, packets: memoryview) -> None: ...
    def leg_signal(self, payload: bytes) -> None: ...


class RelayConnection(picows.WSListener):
    """One leg that is up, or on its way to be."""

    def __init__(self, core: RelayLegCore, handler: LegHandler) -> None:
        self.core = core
        self.dropped = 0
        """Messages given up because the network did not take them."""
        self._ended = asyncio.Event()
        self._handler = handler
        self._queue = SendQueue(QUEUE_BYTES)
        self._transport: picows.WSTransport | None = None
        self._is_paused = False

    @property
    def is_paired(self) -> bool:
        return self.core.state is LegState.PAIRED

    @property
    def is_admitted(self) -> bool:
        return self.core.is_admitted

    @property
    def takes_handshakes(self) -> bool:
        return self.core.takes_handshakes

    def send(self, message: Readable) -> bool:
        """Write one message, or queue a copy of it; False: there is no connection."""
        if self._transport is None:
            return False
        if self._is_paused:
            self.dropped += self._queue.push(bytes(message))
        else:
            self._transport.send(picows.WSMsgType.BINARY, message)
        return True

    def renew(self, token: str) -> None:
        """Lengthen the lease; a leg that is not admitted yet gets along with the token it has."""
        if self.core.is_admitted:
            self.send(self.core.renew(token))

    def check_silence(self, now: float) -> None:
        """Give the connection up if the relay has been silent for too long."""
        if self._transport is not None and self.core.is_silent(now):
            self.core.lost(None, f"the relay has been silent for {relay.DEAD_S:.0f} s")
            self._transport.disconnect(graceful=False)

    def check_address(self) -> None:
        """Give the connection up if this machine no longer sends from its address."""
        if self._transport is None:
            return
        transport = self._transport.underlying_transport
        own, relay_at = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        if own is None or relay_at is None or source_towards(relay_at[0]) == own[0]:
            return
        self.abandon("this machine's network has changed")

    def abandon(self, detail: str) -> None:
        """Give the connection up without a word."""
        if self._transport is not None:
            self.core.lost(None, detail)
            self._transport.disconnect(graceful=False)

    async def close(self) -> None:
        """Say goodbye and close, whether the relay listens or not; idempotent."""
        transport = self._transport
        self.core.lost(CloseReason.DONE, "closed by this end")
        if transport is None:
            return
        if not transport.is_close_frame_sent:
            transport.send(picows.WSMsgType.BINARY, relay.encode(relay.Close(CloseReason.DONE)))
            transport.send_close(picows.WSCloseCode.OK)
        transport.disconnect()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._ended.wait()
        except TimeoutError:
            transport.disconnect(graceful=False)
            await self._ended.wait()

    async def wait_ended(self) -> None:
        """Return when the connection is gone; raises what a handler of it raised."""
        transport = self._transport
        await self._ended.wait()
        if transport is not None:
            try:
                await transport.wait_disconnected()
            except picows.WSProtocolError as exc:
                self.core.lost(None, f"the relay broke the protocol: {exc}")

    # picows calls these.

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        if self.core.state is LegState.ENDED:  # closed while it was being dialled
            transport.disconnect(graceful=False)
            return
        self._transport = transport
        tune(transport.underlying_transport.get_extra_info("socket"))
        transport.underlying_transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.send(self.core.connected(boottime()))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if self.core.state is LegState.ENDED:
            return
        if frame.last_in_buffer:
            self.core.heard(boottime())
        if frame.msg_type is picows.WSMsgType.BINARY and frame.fin:
            self._received(transport, frame.get_payload_as_memoryview())
        elif frame.msg_type is picows.WSMsgType.CLOSE:
            self.core.lost(None, f"the relay closed with code {frame.get_close_code()}")
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type not in (picows.WSMsgType.PING, picows.WSMsgType.PONG):
            self._give_up(transport, "a message that is not whole and binary")

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - picows
        self._transport = None
        self.dropped += self._queue.clear()
        self.core.lost(None, "the connection broke")
        self._ended.set()
        self._handler.leg_changed(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        while not self._is_paused and self._transport is not None:
            message = self._queue.pop()
            if message is None:
                break
            self._transport.send(picows.WSMsgType.BINARY, message)

    # Internals.

    def _received(self, transport: picows.WSTransport, message: memoryview) -> None:
        try:
            frame = relay.decode(message)
        except DecodeError as exc:
            self._give_up(transport, str(exc))
            return
        if isinstance(frame, relay.Data | relay.Signal) and not self.core.is_admitted:
            self._give_up(transport, "data before READY")
        elif isinstance(frame, relay.Data):
            self._handler.leg_data(frame.segment, frame.packets)
        elif isinstance(frame, relay.Signal):
            self._handler.leg_signal(frame.payload)
        else:
            self._control(transport, frame)

    def _control(self, transport: picows.WSTransport, frame: relay.Frame) -> None:
        before = self.core.state
        answer = self.core.received(frame)
        if answer is not None:
            self.send(answer)
        if self.core.state is LegState.ENDED:
            transport.disconnect()
        elif self.core.state is not before:
            self._handler.leg_changed(self)

    def _give_up(self, transport: picows.WSTransport, fault: str) -> None:
        self.core.lost(None, f"the relay broke the protocol: {fault}")
        transport.send_close(picows.WSCloseCode.PROTOCOL_ERROR)
        transport.disconnect()


async def dial(url: str, connection: RelayConnection, uplink: Uplink) -> None:
    """Connect one leg; raises OSError (TLS and WebSocket failures included)."""
    context = _context_for(url, uplink.tls)
    attempt = Dial(uplink.names)
    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            await picows.ws_connect(
                lambda: connection,
                url,
                ssl_context=context,
                # Without TLS it is a relay on this host, see below.
                proxy=uplink.proxy if context is not None else None,
                websocket_handshake_timeout=DIAL_TIMEOUT_S,
                max_frame_size=relay.MAX_MESSAGE_BYTES,
                max_redirects=0,
                socket_factory=lambda parsed: attempt.connect(parsed.host, parsed.port),
                logger_name=_SILENT,
            )
            attempt.led_right()
    except TimeoutError:
        attempt.led_wrong()
        raise OSError(f"{url} does not answer within {DIAL_TIMEOUT_S:.0f} s") from None
    except (picows.WSError, picows.WSInvalidURL, ProxyError) as exc:
        attempt.led_wrong()
        raise OSError(f"{url}: {exc}") from None
    except OSError as exc:
        attempt.led_wrong()
        reason = exc.strerror or str(exc) or "the connection was cut while it was set up"
        raise OSError(f"{url}: {reason}") from None


def _context_for(url: str, tls: ssl.SSLContext) -> ssl.SSLContext | None:
    """Without TLS a leg would show its token to the network: only this host may have that."""
    parts = urlsplit(url)
    if parts.scheme == "wss":
        return tls
    try:
        is_local = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_local = False
    if parts.scheme != "ws" or not is_local:
        raise OSError(f"{url} is not used: a relay's address starts with wss://")
    return None
