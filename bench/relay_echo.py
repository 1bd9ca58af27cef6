"""Round trips of one quiet pair, measured by a process of its own that no load delays."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.relay_wire import data_message, read_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from bench.relay_peers import Relayd

PACKET_BYTES: Final = 200
PAUSE_S: Final = 0.002
SETTLE_S: Final = 0.4
"""The first trips are of cold caches and of a load that only begins."""


@dataclass(frozen=True)
class Trips:
    """Microseconds."""

    p50_us: float
    p99_us: float
    count: int


def round_trips(relayd: Relayd, seconds: float, meanwhile: Callable[[], object]) -> Trips:
    """Measure while `meanwhile` runs in this process."""
    here, there = multiprocessing.Pipe()
    echo = multiprocessing.get_context("fork").Process(
        target=_measure, args=(relayd, seconds, there), daemon=True
    )
    echo.start()
    meanwhile()
    trips: list[float] = here.recv()
    echo.join()
    ordered = sorted(trips)
    return Trips(
        ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6, len(ordered)
    )


def _measure(relayd: Relayd, seconds: float, result: Connection) -> None:
    # Before everything else on its core: what is measured is the relay, not the scheduler.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    one, other = relayd.joined()
    message = data_message(PACKET_BYTES)
    trips: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds + SETTLE_S:
        sent = time.monotonic()
        for sender, receiver in ((one, other), (other, one)):
            sender.sendall(message)
            read_message(receiver)
        if sent - began > SETTLE_S:
            trips.append(time.monotonic() - sent)
        time.sleep(PAUSE_S)
    one.close()
    other.close()
    result.send(trips)
