"""The connection under one relay leg; the only module of the tunnel that knows picows."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

import picows

from rclib.tunnel.relay_leg import LegState, RelayLegCore
from rclib.wire import relay
from rclib.wire.errors import DecodeError
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    import ssl

# Its own lines name addresses at INFO; ours say what happened without them.
logging.getLogger("picows").setLevel(logging.WARNING)

DIAL_TIMEOUT_S: Final = 10.0
WRITE_BUFFER_BYTES: Final = 128 * 1024


class LegHandler(Protocol):
    """What the set of legs does with one leg's news."""

    def leg_changed(self, leg: RelayConnection) -> None: ...
    def leg_data(self, segment: int, packets: memoryview) -> None: ...
    def leg_signal(self, payload: bytes) -> None: ...


class RelayConnection(picows.WSListener):
    """One leg that is up, or on its way to be."""

    def __init__(self, core: RelayLegCore, handler: LegHandler) -> None:
        self.core = core
        self._handler = handler
        self._transport: picows.WSTransport | None = None
        self._is_paused = False
        self.dropped = 0
        """Messages given up because the network did not take them."""
        self.ended = asyncio.Event()

    @property
    def is_paired(self) -> bool:
        return self.core.state is LegState.PAIRED and self._transport is not None

    def send(self, message: bytes, *, first_class: bool = False) -> bool:
        """Write one message if the network takes it; WireGuard itself repeats what matters."""
        if self._transport is None:
            return False
        if self._is_paused and not first_class:
            self.dropped += 1
            return False
        self._transport.send(picows.WSMsgType.BINARY, message)
        return True

    def renew(self, token: str) -> None:
        if self.core.state in (LegState.ALONE, LegState.PAIRED):
            self.send(self.core.renew(token), first_class=True)

    def close(self) -> None:
        """Say goodbye and close; idempotent."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.send(picows.WSMsgType.BINARY, relay.encode(relay.Close(CloseReason.DONE)))
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    # picows calls these.

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        transport.send(picows.WSMsgType.BINARY, self.core.hello())

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type is not picows.WSMsgType.BINARY or not frame.fin:
            return
        message = frame.get_payload_as_memoryview()
        try:
            decoded = relay.decode(message)
        except DecodeError as exc:
            self.core.lost(CloseReason.BAD_FRAME, f"the relay broke the protocol: {exc}")
            transport.disconnect()
            return
        if isinstance(decoded, relay.Data):
            self._handler.leg_data(decoded.segment, decoded.packets)
        elif isinstance(decoded, relay.Signal):
            self._handler.leg_signal(decoded.payload)
        else:
            before = self.core.state
            answer = self.core.received(decoded)
            if answer is not None:
                self.send(answer, first_class=True)
            if self.core.state is not before:
                self._handler.leg_changed(self)
            if self.core.state is LegState.ENDED:
                transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - picows
        self._transport = None
        self.core.lost(None, "the connection broke")
        self.ended.set()
        self._handler.leg_changed(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False


async def dial(url: str, connection: RelayConnection, tls: ssl.SSLContext) -> None:
    """Connect one leg; raises OSError (TLS and WebSocket failures included)."""
    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            await picows.ws_connect(
                lambda: connection,
                url,
                ssl_context=tls if url.startswith("wss:") else None,
                max_frame_size=relay.MAX_MESSAGE_BYTES,
                logger_name="relay-leg",
            )
    except TimeoutError:
        raise OSError(f"{url} does not answer within {DIAL_TIMEOUT_S:.0f} s") from None
    except picows.WSError as exc:
        raise OSError(f"{url}: {exc}") from None
