"""A leg that sends too fast is read later, and never loses a byte for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.clock import boottime
from relayd.receive_rate import BURST_S, ReceiveRate
from tests.relayd.test_server import burst

if TYPE_CHECKING:
    from tests.relayd.conftest import Pair, StartRelay

RATE = 100_000


@given(st.lists(st.integers(1, 65_535), min_size=1, max_size=50))
def test_in_the_long_run_the_rate_holds(sizes: list[int]) -> None:
    bucket, now = ReceiveRate(RATE, 65_535, 0.0), 0.0
    for size in sizes:
        now += bucket.took(size, now)
    assert sum(sizes) <= 65_535 + now * RATE + 1


@given(st.integers(1, 65_535))
def test_one_message_is_never_too_much(size: int) -> None:
    assert ReceiveRate(1, 65_535, 0.0).took(size, 0.0) == 0


def test_what_was_not_used_is_saved_only_up_to_the_burst() -> None:
    rate = 1_000_000
    bucket = ReceiveRate(rate, 65_535, 0.0)
    burst_bytes = int(rate * BURST_S)
    assert bucket.took(burst_bytes + rate, 3600.0) == 1.0


async def test_a_fast_leg_is_slowed_down_and_loses_nothing(
    start_relay: StartRelay, pair: Pair
) -> None:
    relay = await start_relay(receive_bytes_per_s=400_000)
    technician, gateway = await pair(relay)
    sent = [burst(n, count=4) for n in range(60)]  # 349 KB: 100 KB at once, the rest at the rate
    started = boottime()
    for message in sent:
        technician.send(message)
        await asyncio.sleep(0)
    await gateway.receives(sent)
    assert boottime() - started > 0.3
