"""Logging: one event per line, JSON for machines and readable on a terminal.

Event names are constants of the form noun_verb ("leg_closed"); everything that
varies is a field. Messages of libraries that use stdlib logging take the same way
out, so that no line misses redaction (see `redact`).
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import msgspec

from rclib.runtime.clock import boottime
from rclib.runtime.redact import safe_text, safe_value

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

__all__ = ["LEVELS", "Logger", "RateGate", "RateLimitedLogger", "configure_logging", "get_logger"]

LEVELS: Final = ("debug", "info", "warning", "error")

_MAX_TRACEBACK_LINES = 200


def configure_logging(
    level: str = "info", *, stream: TextIO | None = None, pretty: bool | None = None
) -> None:
    """Set up logging of the whole process, to stderr unless a stream is given.

    `pretty` None: pretty where the stream is a terminal.
    """
    pretty = (stream or sys.stderr).isatty() if pretty is None else pretty
    number = logging.getLevelNamesMapping()[level.upper()]
    _LINES.set(number, stream, pretty=pretty)
    handler = logging.StreamHandler(_Unfailing(stream))
    handler.setFormatter(_StdlibFormatter())
    logging.basicConfig(handlers=[handler], level=number, force=True)
    logging.captureWarnings(capture=True)
    # aiohttp has a traceback for each request that is no HTTP: for whoever wants to fill a disk.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class _Lines:
    """Where lines go. structlog is loaded for the first: it would be a quarter of a client's start.

    Whatever was made before `set` obeys it as well.
    """

    def __init__(self) -> None:
        self.set(logging.NOTSET, None, pretty=False)

    def set(self, level: int, stream: TextIO | None, *, pretty: bool) -> None:
        self.level = level
        self._stream = stream
        self._pretty = pretty
        self._logger: FilteringBoundLogger | None = None
        self._processors: list[Processor] | None = None

    def logger(self) -> FilteringBoundLogger:
        if self._logger is None:
            import structlog  # noqa: PLC0415 - see the class

            self._logger = cast(
                "FilteringBoundLogger",
                structlog.wrap_logger(
                    structlog.WriteLogger(file=cast("TextIO", _Unfailing(self._stream))),
                    processors=self.processors(),
                    wrapper_class=structlog.make_filtering_bound_logger(self.level),
                ),
            )
        return self._logger

    def processors(self) -> list[Processor]:
        if self._processors is None:
            import structlog  # noqa: PLC0415 - see the class

            self._processors = [
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _make_safe,
                _pretty_renderer(self._stream or sys.stderr) if self._pretty else _render_json,
            ]
        return self._processors


_LINES: Final = _Lines()


class Logger:
    """Puts its fields on each of its lines; one of structlog's comes to be with the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    def bind(self, **fields: object) -> Logger:
        return Logger({**self._fields, **fields})

    def debug(self, event: str, /, **fields: object) -> None:
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, /, **fields: object) -> None:
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, /, **fields: object) -> None:
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, /, **fields: object) -> None:
        self.log(logging.ERROR, event, **{"exc_info": True, **fields})

    def log(self, level: int, event: str, /, **fields: object) -> None:
        if level >= _LINES.level:
            _LINES.logger().bind(**self._fields).log(level, event, **fields)


class _Unfailing:
    """A stream that nobody may read any more: then a line is lost, and nothing else.

    Whoever logs is about to do something that matters more, such as to close a plant. None is
    stderr, whatever that is when a line comes.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed at this end
            (self._stream or sys.stderr).write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            (self._stream or sys.stderr).flush()


def get_logger(program: str, **fields: object) -> Logger:
    """Return a logger that puts `program` and the fields on each of its lines."""
    return Logger({"program": program, **fields})


class RateGate:
    """Decides which of many similar events is worth a line.

    Each key passes once per interval. Keys beyond `max_keys` share one turn: a peer that
    makes up keys (addresses, names) gains nothing by it, in lines or in memory.
    """

    def __init__(self, interval_s: float, *, max_keys: int = 256) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._turns: OrderedDict[Hashable, _Turn] = OrderedDict()  # oldest first
        self._overflow = _Turn(opened_at=float("-inf"))

    def admit(self, key: Hashable, now: float) -> int | None:
        """Return how many events were held back since the last admitted one; None: hold this."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._new_turn(key, now)
        elif now - turn.opened_at >= self._interval_s:
            self._turns.move_to_end(key)
        if now - turn.opened_at < self._interval_s:
            turn.held_back += 1
            return None
        held_back, turn.held_back, turn.opened_at = turn.held_back, 0, now
        return held_back

    def _new_turn(self, key: Hashable, now: float) -> _Turn:
        if len(self._turns) >= self._max_keys:
            oldest = next(iter(self._turns))
            if now - self._turns[oldest].opened_at < self._interval_s:
                return self._overflow
            del self._turns[oldest]
        turn = self._turns[key] = _Turn(opened_at=float("-inf"))
        return turn


class RateLimitedLogger:
    """Logs an event once per `once_per` and interval, with the number held back in between.

    For everything a peer can provoke at will.
    """

    def __init__(
        self,
        log: Logger,
        *,
        interval_s: float = 60,
        max_keys: int = 256,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._log = log
        self._gate = RateGate(interval_s, max_keys=max_keys)
        self._clock = clock

    def info(self, event: str, *, once_per: Hashable, **fields: object) -> None:
        """Log a state change that a peer can repeat."""
        self._emit(logging.INFO, event, once_per, fields)

    def warning(self, event: str, *, once_per: Hashable, **fields: object) -> None:
        """Log a fault of a peer."""
        self._emit(logging.WARNING, event, once_per, fields)

    def error(self, event: str, *, once_per: Hashable, **fields: object) -> None:
        """Log a fault of our own; `exc_info=exc` adds the traceback."""
        self._emit(logging.ERROR, event, once_per, fields)

    def _emit(self, level: int, event: str, key: Hashable, fields: dict[str, object]) -> None:
        held_back = self._gate.admit((event, key), self._clock())
        if held_back is None:
            return
        if held_back:
            fields = {**fields, "held_back": held_back}
        self._log.log(level, event, **fields)


class _Turn:
    """When a key was last admitted, and what was held back since."""

    __slots__ = ("held_back", "opened_at")

    def __init__(self, opened_at: float) -> None:
        self.opened_at = opened_at
        self.held_back = 0


class _StdlibFormatter(logging.Formatter):
    """Sends the records of stdlib loggers through the processors of our own events."""

    def format(self, record: logging.LogRecord) -> str:
        event: Any = {
            "event": record.getMessage(),
            "logger": record.name,
            "exc_info": record.exc_info,
        }
        for process in _LINES.processors():
            event = process(None, record.levelname.lower(), event)
        return str(event)


def _make_safe(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    error = _exception_of(event_dict.pop("exc_info", None))
    safe = {safe_text(key): safe_value(value) for key, value in event_dict.items()}
    if error is not None:
        safe["exception"] = _safe_traceback(error)
    return safe


def _exception_of(exc_info: object) -> BaseException | None:
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exc_info()[1]
        case _:
            return None


def _safe_traceback(error: BaseException) -> str:
    """Render a traceback whose every line is indented and safe.

    The text of an exception can come from a peer; indented, a line break in it
    cannot pass for a log line of its own.
    """
    lines = "".join(traceback.format_exception(error)).splitlines()
    if len(lines) > _MAX_TRACEBACK_LINES:
        half = _MAX_TRACEBACK_LINES // 2
        lines = [*lines[:half], "...", *lines[-half:]]
    return "\n".join(f"    {safe_text(line)}" for line in lines)


def _pretty_renderer(stream: TextIO) -> Processor:
    from structlog.dev import ConsoleRenderer  # noqa: PLC0415 - see _Lines

    colors = stream.isatty() and sys.platform != "win32"  # there colours would need colorama
    return ConsoleRenderer(colors=colors)


def _render_json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    return msgspec.json.encode(event_dict).decode()
