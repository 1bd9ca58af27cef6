"""A busy leg lets the others have their turn."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rclib.wire import relay as wire
from relayd.leg import Leg
from relayd.turns import BIO_BYTES, TURN_BYTES

if TYPE_CHECKING:
    import pytest

    from tests.relayd.conftest import Pair, RunningRelay

BURST = wire.data_header(1000) + bytes(1000 * 16)
COUNT = 12


async def test_no_leg_brings_more_than_its_share_in_one_turn_of_the_loop(
    relay: RunningRelay, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    technician, gateway = await pair(relay)
    turns = [0]
    count = Leg._count  # noqa: SLF001 - called for every message that is passed on

    def counted(leg: Leg, size: int) -> None:
        turns[-1] += size
        count(leg, size)

    async def turn_by_turn() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    monkeypatch.setattr(Leg, "_count", counted)
    for _ in range(COUNT):
        technician.send(BURST)
    time.sleep(0.05)  # noqa: ASYNC251 - until all of it lies in the relay's socket
    clock = asyncio.create_task(turn_by_turn())
    await gateway.until(lambda: len(gateway.messages) >= COUNT)
    assert sum(turns) == COUNT * len(BURST)
    assert max(turns) <= TURN_BYTES + BIO_BYTES
    clock.cancel()
