"""The load generator itself, without a relay: what it counts is what happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bench import relay_load
from bench.certificate import make_certificate
from bench.relay_load import SOURCE_QUEUE_BYTES, Pace, Window
from bench.relay_peers import Null

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.relay_load import Pair

SIZE = 1452


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both connections are one."""
    make_certificate(tmp_path)
    null = Null(tmp_path)
    null.start()
    made = null.pair(SIZE)
    yield made
    relay_load.close([made])
    null.stop()


def test_a_window_holds_back_what_has_not_arrived(pair: Pair) -> None:
    pair.sending = Window(20_000)
    for _ in range(5):
        pair.push(time.monotonic())
    assert 20_000 <= pair.sent < 20_000 + 16_000
    assert pair.offered == pair.sent


def test_a_paced_source_drops_what_the_connection_does_not_take(pair: Pair) -> None:
    """Nobody reads at the other end."""
    pair.sending = Pace(100e6)
    start = time.monotonic()
    for tick in range(1, 101):
        pair.push(start + tick * 0.01)
    assert pair.offered == pytest.approx(100e6, rel=0.05)
    # The kernel's buffers of a loopback connection, and the source's own queue.
    assert pair.sent < 50e6
    assert pair.offered - pair.sent > SOURCE_QUEUE_BYTES


def test_a_slow_receiver_takes_its_rate_and_no_more(pair: Pair) -> None:
    pair.sending = Window(1 << 20)
    pair.read_bytes_per_s = 100_000
    into = bytearray(1 << 16)
    start = time.monotonic()
    for tick in range(100):
        pair.push(start + tick * 0.01)
        pair.pull(into, start + tick * 0.01)
    assert 80_000 <= pair.received <= 100_000 + len(into)


def test_a_run_tells_of_each_group(pair: Pair) -> None:
    pair.sending = Pace(1e6)
    (load, nothing) = relay_load.run([[pair], []], 1, lambda: 0.0, warm_s=0.05)
    assert load.offered_gbit_per_s == pytest.approx(0.008, rel=0.5)
    assert load.dropped_at_source == pytest.approx(0.0, abs=0.2)
    assert load.gbit_per_s > 0
    assert nothing.gbit_per_s == 0
