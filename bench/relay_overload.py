"""What a relay still delivers when it is offered three times its best: sources that heed nobody.

A competing program leaves the relay RELAY_SHARE of its core, so that the generator can drive it
well beyond: `headroom` is what the generator does without a relay, over the peak. `peak` is by
the window that gives this relay its best figure. Then TIMES the peak is offered in all, at an even
pace; what a connection does not take waits in SOURCE_QUEUE_BYTES, beyond that the source drops it,
as the UDP socket of a tunnel's end does.

- `few_pairs`, `many_pairs`: each beside the peak of so many pairs.
- `slow_readers`: twice FEW pairs; half of the receivers read SLOWNESS of their share of the peak.
  What is told is what the quick half gets, beside half of the peak.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench import relay_load
from bench.measure import Spread, cpu_s, interleave, preferred, ratio, spread
from bench.relay_load import Load, Pace, Window
from bench.relay_peers import RELAY_CPU

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.relay_peers import Peer

TIMES: Final = 3.0
FEW, MANY = 10, 50
ENOUGH: Final = 0.9
"""Share of what was to be offered that has to be."""
SIZE: Final = 1452
SECONDS: Final = 1.0
WARM_S: Final = 0.8
"""Until the buffers of the kernel are full."""
RELAY_SHARE: Final = 0.25
SLOWNESS: Final = 0.1
CASES: Final = ("few_pairs", "many_pairs", "slow_readers")
CONDITIONS: Final = {
    "offered": f"{TIMES:g} x peak of {FEW} and {MANY} pairs, packets of {SIZE} bytes",
    "relay_share_of_core": RELAY_SHARE,
}
_PERIOD_S: Final = 0.004
_COMPETITOR: Final = """
import sys, time
while True:
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        pass
    time.sleep(float(sys.argv[2]))
"""


@dataclass(frozen=True)
class Case:
    """One way of overload, once."""

    peak: float
    """Gbit/s, of as many pairs as are told about."""
    load: Load


@contextmanager
def competitor() -> Iterator[None]:
    """Another program, which comes first on the relay's core, and rests for RELAY_SHARE."""
    busy, rest = (1 - RELAY_SHARE) * _PERIOD_S, RELAY_SHARE * _PERIOD_S
    command = [sys.executable, "-c", _COMPETITOR, str(busy), str(rest)]
    with subprocess.Popen(command) as process:
        os.sched_setaffinity(process.pid, {RELAY_CPU})
        # Before the relay, which is preferred too.
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(20))
        try:
            yield
        finally:
            process.kill()


def measure(
    peers: Sequence[Peer], null: Peer, rounds: int
) -> dict[str, dict[str, dict[str, Spread]]]:
    """Return the figures of each peer by case."""
    (without,) = _run(null, [[null.shared_window(SIZE, FEW)] * FEW])
    with competitor():
        found = interleave({peer.name: lambda p=peer: _round(p) for peer in peers}, rounds)  # type: ignore[misc]
    return {
        name: {case: figures([each[case] for each in told], without) for case in CASES}
        for name, told in found.items()
    }


def _round(peer: Peer) -> dict[str, Case]:
    # The generator as well: whom another program makes late offers in heaps, and reads late.
    with preferred(os.getpid(), *peer.pids):
        few, few_peak = _overload(peer, FEW)
        many, _ = _overload(peer, MANY)
        share = TIMES * few_peak / FEW / 2
        quick, _ = _run(peer, [[Pace(share)] * FEW] * 2, SLOWNESS * share / TIMES)
    return dict(zip(CASES, (few, many, Case(few.peak / 2, quick)), strict=True))


def _overload(peer: Peer, count: int) -> tuple[Case, float]:
    """Also returns the peak in bytes per second."""
    (peak,) = _run(peer, [[peer.shared_window(SIZE, count)] * count])
    bytes_per_s = peak.gbit_per_s * 1e9 / 8
    (load,) = _run(peer, [[Pace(TIMES * bytes_per_s / count)] * count])
    return Case(peak.gbit_per_s, load), bytes_per_s


def _run(
    peer: Peer, groups: Sequence[Sequence[Window | Pace]], slow_bytes_per_s: float | None = None
) -> list[Load]:
    """Make a pair for each way of sending; the receivers of a second group are slow."""
    made = []
    try:
        for number, group in enumerate(groups):
            made.append([peer.pair(SIZE) for _ in group])
            for pair, sending in zip(made[-1], group, strict=True):
                pair.sending = sending
                pair.read_bytes_per_s = slow_bytes_per_s if number else None
        return relay_load.run(made, SECONDS, lambda: cpu_s(*peer.pids), WARM_S)
    finally:
        for pairs in made:
            relay_load.close(pairs)


def figures(found: Sequence[Case], without: Load) -> dict[str, Spread]:
    """Only of rounds that were an overload: on a busy machine the generator may be starved."""
    cases = [each for each in found if each.load.offered_gbit_per_s >= ENOUGH * TIMES * each.peak]
    if not cases:
        raise SystemExit("this machine is too busy to offer a relay too much")
    peaks = [case.peak for case in cases]
    loads = [case.load for case in cases]
    return {
        "peak_gbit_per_s": spread(peaks),
        "headroom": ratio([without.gbit_per_s] * len(peaks), peaks),
        "offered_of_peak": ratio([load.offered_gbit_per_s for load in loads], peaks),
        "goodput_of_peak": ratio([load.gbit_per_s for load in loads], peaks),
        "dropped_at_source": spread(load.dropped_at_source for load in loads),
        "lost_on_the_way": spread((load.lost for load in loads), 4),
        "relay_busy": spread(load.relay_busy for load in loads),
    }
