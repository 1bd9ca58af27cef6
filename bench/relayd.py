"""`make bench-relayd`: relayd beside its peers, per CPU-second of the relay, as JSON.

Relay on one core, generator on the other. Rounds are interleaved; ratios are within a round.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import relay_load
from bench.certificate import make_certificate
from bench.measure import cpu_s, interleave, ratio, report, spread
from bench.relay_echo import round_trips
from bench.relay_peers import (
    LOAD_CPU,
    Coturn,
    CoturnAsUsed,
    Derper,
    Haproxy,
    Null,
    Peer,
    Reference,
    Relayd,
    build_derper,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.relay_load import Load

ROUNDS: Final = 5
SECONDS: Final = 1.0
SIZES: Final = (1452, 200)
PAIRS: Final = (1, 10, 50)
IDLE_LEGS: Final = 400
TARGETS: Final = {"websockets": 6.0, "coturn": 4.0, "haproxy": 0.35, "derper": 2.0}
CACHE: Final = Path(__file__).parents[1] / ".bench"


def carry(peer: Peer, count: int, size: int, *, window: int | None) -> Load:
    """One round of one peer."""
    pairs = [peer.pair(size) for _ in range(count)]
    try:
        each = None if window is None else max(2 * size, window // max(1, count // 4))
        return relay_load.run(pairs, SECONDS, each, lambda: cpu_s(*peer.pids))
    finally:
        relay_load.close(pairs)


def throughput(peers: list[Peer], rounds: int) -> dict[str, object]:
    """Compare all peers at each number of pairs and packet size."""
    figures: dict[str, object] = {}
    for size in SIZES:
        for count in PAIRS:
            candidates = {peer.name: _carrying(peer, count, size) for peer in peers}
            found = interleave(candidates, rounds)
            ours = [load.gbit_per_cpu_s for load in found["relayd"]]
            figures[f"{count} pairs, {size} bytes"] = {
                "gbit_per_relay_cpu_s": {
                    name: spread(load.gbit_per_cpu_s for load in loads)
                    for name, loads in found.items()
                },
                "gbit_per_s": {
                    name: spread(load.gbit_per_s for load in loads) for name, loads in found.items()
                },
                "lost": {
                    name: spread((load.lost for load in loads), 4) for name, loads in found.items()
                },
                "ratio": {
                    name: ratio(ours, [load.gbit_per_cpu_s for load in loads])
                    for name, loads in found.items()
                    if name not in {"relayd", "null"}
                },
            }
    return figures


def _carrying(peer: Peer, count: int, size: int) -> Callable[[], Load]:
    return lambda: carry(peer, count, size, window=peer.window(size))


def overload(relayd: Relayd, rounds: int) -> dict[str, object]:
    """Senders that take no account of anything, against the best a window gives."""
    shares, offered = [], []
    for _ in range(rounds):
        peak = carry(relayd, 10, 1452, window=relayd.window(1452))
        flood = carry(relayd, 10, 1452, window=None)
        shares.append(flood.gbit_per_s / peak.gbit_per_s)
        offered.append(flood.gbit_per_s / (1 - flood.lost) / peak.gbit_per_s)
    return {"goodput_of_peak": spread(shares), "offered_of_peak": spread(offered)}


def latency(relayd: Relayd, rounds: int) -> dict[str, object]:
    """RTT of one quiet pair, alone and beside ten pairs at full load.

    The relay runs before everything else on its core, as the measuring process does on its own:
    what other programs of this machine take from it is no property of the relay.
    """
    idle, loaded = [], []
    (pid,) = relayd.pids
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(10))
    for _ in range(rounds):
        idle.append(round_trips(relayd, SECONDS, lambda: time.sleep(SECONDS)))
        loaded.append(
            round_trips(
                relayd, SECONDS, lambda: carry(relayd, 10, 1452, window=relayd.window(1452))
            )
        )
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    return {
        "idle_p99_us": spread((each.p99_us for each in idle), 0),
        "loaded_p99_us": spread((each.p99_us for each in loaded), 0),
        "ratio": spread(b.p99_us / a.p99_us for a, b in zip(idle, loaded, strict=True)),
    }


def idle_memory(relayd: Relayd) -> dict[str, object]:
    """Private dirty memory for each idle leg that has carried nothing."""
    warm = [relayd.joined() for _ in range(20)]
    before = _private_dirty_kb(relayd)
    legs = [relayd.joined() for _ in range(IDLE_LEGS // 2)]
    after = _private_dirty_kb(relayd)
    for one, other in (*warm, *legs):
        one.close()
        other.close()
    return {"legs": IDLE_LEGS, "private_dirty_kib_per_leg": round((after - before) / IDLE_LEGS, 1)}


def _private_dirty_kb(relayd: Relayd) -> int:
    (pid,) = relayd.pids
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    os.sched_setaffinity(0, {LOAD_CPU})
    CACHE.mkdir(exist_ok=True)
    derper = build_derper(CACHE)
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        make_certificate(directory)
        relayd = Relayd(directory)
        peers: list[Peer] = [
            relayd, Reference(directory), Coturn(directory), CoturnAsUsed(directory),
            Haproxy(directory), Null(directory),
        ]  # fmt: skip
        if derper is not None:
            peers.append(Derper(directory, derper))
        for peer in peers:
            peer.start()
            undo.callback(peer.stop)
        report(
            "relayd",
            {
                "throughput": throughput(peers, rounds),
                "overload": overload(relayd, rounds),
                "round_trip": latency(relayd, rounds),
                "idle": idle_memory(relayd),
                "targets": TARGETS,
                "derper": "measured" if derper is not None else "not measured: Go is missing",
            },
        )


if __name__ == "__main__":
    main()
