"""What picows complains about, told once in a while: peers can provoke each of it at will."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclib.runtime.logs import RateLimitedLogger

WEBSOCKET_FAULT = "websocket_fault"


def websocket_logger(log: RateLimitedLogger) -> logging.Logger:
    """A logger outside the global tree that lets through what went wrong, once in a while."""
    logger = logging.Logger("relayd.picows", logging.ERROR)  # noqa: LOG001 - one per server
    logger.addHandler(_Faults(log))
    return logger


class _Faults(logging.Handler):
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
