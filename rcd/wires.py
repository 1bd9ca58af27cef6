"""The plant's own wires: a key switch that must be closed too, and a lamp that says who is here.

A line is a GPIO of the machine (libgpiod) or a file holding 1 or 0. What cannot be read counts as
switched off.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import msgspec

from rclib.runtime.config import Config
from rclib.wire.local import KeySwitchState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rclib.runtime.logs import Logger

POLL_S: Final = 0.1
"""How often the key is looked at: a fraction of what closing may take."""

KEY_SWITCH_FAILED = "key_switch_failed"
LAMP_FAILED = "lamp_failed"

_NAME: Final = "remoteconnect"


class LineConfig(Config, frozen=True, kw_only=True):
    """One wire: `file`, or `chip` and `line`."""

    file: str | None = None
    chip: str | None = None
    """As /dev/gpiochip0; needs Python's gpiod, and the device in the unit's DeviceAllow."""
    line: Annotated[int, msgspec.Meta(ge=0, le=1023)] = 0
    active_low: bool = False
    """Whether 0 means closed, or lit."""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.chip is None):
            raise ValueError("a line is either a file or a chip")


class Line(Protocol):
    """One wire; both raise OSError."""

    def read(self) -> bool: ...
    def write(self, *, value: bool) -> None: ...


class FileLine:
    """A line that another program, or a test, holds the other end of."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bool:
        with self._path.open("rb") as file:
            text = file.read(8).strip()
        if text not in {b"0", b"1"}:
            raise OSError(None, f"{self._path} holds neither 1 nor 0")
        return text == b"1"

    def write(self, *, value: bool) -> None:
        self._path.write_bytes(b"1\n" if value else b"0\n")


class GpioLine:
    """A GPIO by libgpiod, requested anew after a fault."""

    def __init__(self, chip: str, offset: int, *, is_output: bool) -> None:
        self._chip = chip
        self._offset = offset
        self._is_output = is_output
        self._request: Any = None

    def read(self) -> bool:
        with self._anew_after_a_fault() as lines:
            return bool(lines.get_value(self._offset).value)

    def write(self, *, value: bool) -> None:
        with self._anew_after_a_fault() as lines:
            lines.set_value(self._offset, _gpiod().line.Value(int(value)))

    @contextmanager
    def _anew_after_a_fault(self) -> Iterator[Any]:
        try:
            yield self._lines()
        except OSError:
            self._request = None
            raise

    def _lines(self) -> Any:  # noqa: ANN401 -- gpiod is optional
        if self._request is None:
            gpiod = _gpiod()
            way = gpiod.line.Direction.OUTPUT if self._is_output else gpiod.line.Direction.INPUT
            settings = gpiod.LineSettings(direction=way)
            self._request = gpiod.request_lines(
                self._chip, consumer=_NAME, config={self._offset: settings}
            )
        return self._request


def _gpiod() -> Any:  # noqa: ANN401 -- gpiod is optional
    try:
        return importlib.import_module("gpiod")
    except ImportError:
        raise OSError(None, "Python's gpiod is missing; install remoteconnect[gpio]") from None


def open_line(config: LineConfig, *, is_output: bool) -> Line:
    """Touches nothing yet."""
    if config.file is not None:
        return FileLine(Path(config.file))
    return GpioLine(config.chip or "", config.line, is_output=is_output)


class KeySwitch:
    """The key's position, as last read. Without a key switch nothing depends on it."""

    def __init__(self, config: LineConfig | None, log: Logger) -> None:
        self._line = open_line(config, is_output=False) if config is not None else None
        self._active_low = config is not None and config.active_low
        self._log = log
        self.state = KeySwitchState.NONE if self._line is None else KeySwitchState.OFF
        self.detail = ""
        self.look()

    @property
    def is_closed(self) -> bool:
        """Whether it lets access be ON."""
        return self.state in {KeySwitchState.NONE, KeySwitchState.ON}

    def look(self) -> bool:
        """Read it; True: its position is another."""
        if self._line is None:
            return False
        before, self.detail = self.state, ""
        try:
            closed = self._line.read() is not self._active_low
            self.state = KeySwitchState.ON if closed else KeySwitchState.OFF
        except OSError as exc:
            self.state, self.detail = KeySwitchState.FAULT, exc.strerror or str(exc)
            if before is not self.state:
                self._log.error(KEY_SWITCH_FAILED, reason=self.detail, effect="OFF")
        return self.state is not before

    async def watch(self, on_turn: Callable[[], object]) -> None:
        """Call `on_turn` after each turn of the key, for ever."""
        while self._line is not None:
            if self.look():
                on_turn()
            await asyncio.sleep(POLL_S)


class Lamp:
    """Lit while somebody is connected. A broken lamp hinders nothing, and is in the log."""

    def __init__(self, config: LineConfig | None, log: Logger) -> None:
        self._line = open_line(config, is_output=True) if config is not None else None
        self._active_low = config is not None and config.active_low
        self._log = log
        self._is_lit: bool | None = None

    def show(self, *, connected: bool) -> None:
        if self._line is None or connected is self._is_lit:
            return
        try:
            self._line.write(value=connected is not self._active_low)
            self._is_lit = connected
        except OSError as exc:
            self._log.error(LAMP_FAILED, reason=exc.strerror or str(exc))
            self._is_lit = connected  # until the next change: no flood
