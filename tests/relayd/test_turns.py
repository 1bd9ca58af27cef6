"""A busy leg lets the others have their turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclib.wire import relay as wire
from relayd.leg import Leg
from relayd.turn_loop import TurnLoop
from relayd.turns import TURN_BYTES

if TYPE_CHECKING:
    import pytest

    from tests.relayd.conftest import Pair, RunningRelay

BURST = wire.data_header(1000) + bytes(1000 * 16)
COUNT = 24


async def test_no_leg_brings_more_than_its_share_in_one_turn(
    relay: RunningRelay, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [0]
    count, read = Leg._count, TurnLoop._read  # noqa: SLF001 - of every message, of every turn

    def counted(leg: Leg, size: int) -> None:
        turns[-1] += size
        count(leg, size)

    def took_turn(*arguments: object) -> object:
        turns.append(0)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Leg, "_count", counted)
    monkeypatch.setattr(TurnLoop, "_read", took_turn)
    technician, gateway = await pair(relay)
    for _ in range(COUNT):
        technician.send(BURST)
    time.sleep(0.05)  # noqa: ASYNC251 - until all of it lies in the relay's socket
    await gateway.until(lambda: len(gateway.messages) >= COUNT)
    assert sum(turns) == COUNT * len(BURST)
    assert max(turns) <= TURN_BYTES
