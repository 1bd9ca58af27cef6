"""T16 clock jump: rcd's switch and record, while the gateway's clock is set or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from ams.rcd_client import Rcd
from rcd.verify_journal import main as verify_journal
from rclib.tunnel.enrolment import load_or_make_identity
from rclib.wire.access import AccessMode
from rclib.wire.local import SetAccess, Status
from testbed.waiting import until
from testbed.wall_clock import BOOT_WITHOUT_BATTERY, DAY_S, HOUR_S, WallClock, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ON_S: Final = 600
START_S: Final = 20.0


class Gateway:
    """rcd with a clock of its own, without a gate and not enrolled."""

    def __init__(self, directory: Path) -> None:
        self.clock = WallClock(directory / "clock")
        self.state = directory / "state"
        self.rcd = Rcd(directory / "rcd.sock")
        self._config = directory / "rcd.toml"
        self._config.write_text(
            f'state_dir = "{self.state}"\nsocket = "{directory}/rcd.sock"\n'
            f'gate_socket = "{directory}/gate.sock"\n'
        )
        self._socket = directory / "rcd.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rcd", "--config", str(self._config)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.clock.environment},
        )
        until(self._socket.exists, START_S, "rcd to listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(START_S) == 0
            self._process = None

    async def left_s(self) -> float | None:
        """How long access is still on."""
        status = await self.rcd.status()
        return status.remaining_s if status.is_on else None

    async def turn_on(self) -> None:
        asked = SetAccess(AccessMode.ON_UNTIL, "shift lead", ON_S)
        assert isinstance(await self.rcd.ask(asked), Status)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    built = Gateway(tmp_path)
    built.start()
    yield built
    built.stop()


async def test_a_timed_on_lasts_as_long_as_granted_whatever_the_clock_says(
    gateway: Gateway,
) -> None:
    await gateway.turn_on()
    before = await gateway.left_s()
    assert before is not None
    assert before <= ON_S
    for seconds in (3 * HOUR_S, -2 * DAY_S):
        gateway.clock.set_off(seconds)
        left = await gateway.left_s()
        assert left is not None
        assert ON_S - 60 < left <= before
        before = left
    gateway.stop()
    gateway.clock.set(BOOT_WITHOUT_BATTERY)
    gateway.start()
    left = await gateway.left_s()
    assert left is not None
    assert ON_S - 60 < left <= before


async def test_the_signed_record_is_ordered_by_number_and_not_by_time(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    await gateway.turn_on()
    gateway.clock.set_off(3 * HOUR_S)
    await gateway.turn_on()
    gateway.clock.set_off(-2 * DAY_S)
    await gateway.turn_on()
    gateway.stop()
    gateway.clock.set(BOOT_WITHOUT_BATTERY)
    gateway.start()
    await gateway.turn_on()
    lines = await gateway.rcd.journal(0)
    events = [json.loads(line)["event"] for line in lines]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    times = [event["at_ms"] for event in events]
    assert times != sorted(times)
    assert times[-1] < DAY_S * 1000
    export = gateway.state / "export"
    export.write_text("\n".join(lines) + "\n")
    assert verify_journal([str(export), load_or_make_identity(gateway.state).public.hex()]) == 0
    assert "intact" in capsys.readouterr().out
