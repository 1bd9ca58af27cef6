"""Key switch and lamp: what cannot be read is OFF, what cannot be lit hinders nothing."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from rcd.wires import KeySwitch, Lamp, LineConfig
from rclib.runtime.logs import get_logger
from rclib.wire.local import KeySwitchState

if TYPE_CHECKING:
    from pathlib import Path

LOG = get_logger("rcd")


def switch(path: Path, *, active_low: bool = False) -> KeySwitch:
    return KeySwitch(LineConfig(file=str(path), active_low=active_low), LOG)


def test_without_a_key_switch_nothing_depends_on_it() -> None:
    none = KeySwitch(None, LOG)
    assert none.is_closed
    assert none.state is KeySwitchState.NONE
    assert not none.look()


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (b"1", KeySwitchState.ON),
        (b"1\n", KeySwitchState.ON),
        (b"0\n", KeySwitchState.OFF),
        (b"", KeySwitchState.FAULT),
        (b"on", KeySwitchState.FAULT),
        (b"11", KeySwitchState.FAULT),
        (b"\xff\x00", KeySwitchState.FAULT),
    ],
)
def test_only_a_clear_one_is_on(tmp_path: Path, text: bytes, state: KeySwitchState) -> None:
    path = tmp_path / "key"
    path.write_bytes(text)
    key = switch(path)
    assert key.state is state
    assert key.is_closed is (state is KeySwitchState.ON)
    assert bool(key.detail) is (state is KeySwitchState.FAULT)


def test_a_line_that_is_not_there_is_off(tmp_path: Path) -> None:
    assert not switch(tmp_path / "nothing").is_closed
    chip = KeySwitch(LineConfig(chip=str(tmp_path / "gpiochip"), line=17), LOG)
    assert chip.state is KeySwitchState.FAULT
    assert not chip.is_closed


def test_active_low_turns_the_meaning_round(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("0")
    assert switch(path, active_low=True).is_closed
    path.write_text("1")
    assert not switch(path, active_low=True).is_closed
    path.unlink()
    assert not switch(path, active_low=True).is_closed, "a fault is OFF either way"


async def test_each_turn_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("1")
    key = switch(path)
    turns: asyncio.Queue[KeySwitchState] = asyncio.Queue()
    watch = asyncio.create_task(key.watch(lambda: turns.put_nowait(key.state)))
    try:
        async with asyncio.timeout(10):
            path.unlink()
            assert await turns.get() is KeySwitchState.FAULT
            path.write_text("1")
            while (state := await turns.get()) is not KeySwitchState.ON:
                assert state is KeySwitchState.FAULT, "the file may be seen half written"
    finally:
        watch.cancel()
    assert turns.empty()


def test_the_lamp_is_lit_while_somebody_is_connected(tmp_path: Path) -> None:
    path = tmp_path / "lamp"
    lamp = Lamp(LineConfig(file=str(path)), LOG)
    for connected, text in ((False, "0\n"), (True, "1\n"), (True, "1\n"), (False, "0\n")):
        lamp.show(connected=connected)
        assert path.read_text() == text


def test_a_lamp_that_cannot_be_lit_hinders_nothing(tmp_path: Path) -> None:
    Lamp(LineConfig(file=str(tmp_path / "no" / "lamp")), LOG).show(connected=True)
    Lamp(None, LOG).show(connected=True)


@pytest.mark.parametrize("fields", [{}, {"file": "a", "chip": "b"}])
def test_a_line_is_either_a_file_or_a_chip(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either a file or a chip"):
        LineConfig(**fields)


def test_a_gpio_is_requested_anew_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lines:
        def get_value(self, _offset: int) -> SimpleNamespace:
            if len(requests) == 1:
                raise OSError(5, "Input/output error")
            return SimpleNamespace(value=1)

    requests: list[Lines] = []

    def request_lines(*_: object, **__: object) -> Lines:
        requests.append(Lines())
        return requests[-1]

    gpiod = SimpleNamespace(
        line=SimpleNamespace(Direction=SimpleNamespace(INPUT=0, OUTPUT=1)),
        LineSettings=lambda **_: None,
        request_lines=request_lines,
    )
    monkeypatch.setitem(sys.modules, "gpiod", gpiod)
    key = KeySwitch(LineConfig(chip="/dev/gpiochip0"), LOG)
    assert key.state is KeySwitchState.FAULT
    assert key.look()
    assert key.is_closed
