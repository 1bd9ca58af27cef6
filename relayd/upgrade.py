"""From an accepted connection to a leg: TLS, the HTTP upgrade, what is refused before any frame."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import picows

from rclib.wire import relay
from relayd.turns import BIO_BYTES, IDLE_BUFFER_BYTES, limit_turns

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl
    from collections.abc import Callable

    from rclib.runtime.logs import RateLimitedLogger
    from relayd.leg import Leg

PATH: Final = "/relay"
BACKLOG: Final = 4096
SHUTDOWN_TIMEOUT_S: Final = 1.0

WEBSOCKET_FAULT = "websocket_fault"


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
        logger_name=logging.LoggerAdapter(_picows_logger(log)),
        ssl_handshake_timeout=upgrade_timeout_s if tls is not None else None,
        ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S if tls is not None else None,
        ssl_incoming_bio_size=BIO_BYTES if tls is not None else None,
    )


def _picows_logger(log: RateLimitedLogger) -> logging.Logger:
    """A logger outside the global tree that lets through what went wrong, once in a while."""
    logger = logging.Logger("relayd.picows", logging.ERROR)  # noqa: LOG001 - one per server
    logger.addHandler(_Faults(log))
    return logger


class _Faults(logging.Handler):
    """Peers can provoke each of these at will."""

    def __init__(self, log: RateLimitedLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        tell = self._log.error if error is not None else self._log.info
        tell(
            WEBSOCKET_FAULT,
            once_per=(record.msg, type(error).__name__),
            detail=record.getMessage(),
            exc_info=error,
        )
