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

from bench import relay_load, relay_overload
from bench.certificate import make_certificate
from bench.measure import cpu_s, interleave, preferred, ratio, report, spread
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

    from bench.measure import Spread
    from bench.relay_load import Load

ROUNDS: Final = 5
SECONDS: Final = 1.0
SIZES: Final = (1452, 200)
PAIRS: Final = (1, 10, 50)
IDLE_LEGS: Final = 400
TARGETS: Final = {"websockets": 6.0, "coturn": 4.0, "haproxy": 0.35, "derper": 2.0}
"""Least ratio of relayd's gbit_per_relay_cpu_s to theirs."""
GOODPUT_OF_PEAK, RTT_OF_IDLE, KIB_PER_LEG = 0.9, 2.5, 60.0
CACHE: Final = Path(__file__).parents[1] / ".bench"


def carry(peer: Peer, count: int, size: int) -> Load:
    """One round of one peer."""
    pairs = [peer.pair(size) for _ in range(count)]
    for pair in pairs:
        pair.sending = peer.shared_window(size, count)
    try:
        (load,) = relay_load.run([pairs], SECONDS, lambda: cpu_s(*peer.pids))
    finally:
        relay_load.close(pairs)
    return load


def throughput(peers: list[Peer], rounds: int) -> dict[str, dict[str, dict[str, Spread]]]:
    """Compare all peers at each number of pairs and packet size."""
    return {
        f"{count} pairs, {size} bytes": _beside(
            interleave({peer.name: _carrying(peer, count, size) for peer in peers}, rounds)
        )
        for size in SIZES
        for count in PAIRS
    }


def _beside(found: dict[str, list[Load]]) -> dict[str, dict[str, Spread]]:
    ours = [load.gbit_per_cpu_s for load in found["relayd"]]
    return {
        "gbit_per_relay_cpu_s": {
            name: spread(load.gbit_per_cpu_s for load in loads) for name, loads in found.items()
        },
        "gbit_per_s": {
            name: spread(load.gbit_per_s for load in loads) for name, loads in found.items()
        },
        "lost": {name: spread((load.lost for load in loads), 4) for name, loads in found.items()},
        "ratio": {
            name: ratio(ours, [load.gbit_per_cpu_s for load in loads])
            for name, loads in found.items()
            if name not in {"relayd", "null"}
        },
    }


def _carrying(peer: Peer, count: int, size: int) -> Callable[[], Load]:
    return lambda: carry(peer, count, size)


def latency(relayd: Relayd, rounds: int) -> dict[str, Spread]:
    """RTT of one quiet pair, alone and beside ten pairs at full load."""
    idle, loaded = [], []
    with preferred(*relayd.pids):
        for _ in range(rounds):
            idle.append(round_trips(relayd, SECONDS, lambda: time.sleep(SECONDS)))
            loaded.append(round_trips(relayd, SECONDS, lambda: carry(relayd, 10, 1452)))
    return {
        "idle_p99_us": spread((each.p99_us for each in idle), 0),
        "loaded_p99_us": spread((each.p99_us for each in loaded), 0),
        "ratio": spread(b.p99_us / a.p99_us for a, b in zip(idle, loaded, strict=True)),
    }


def idle_memory(relayd: Relayd) -> float:
    """Private dirty KiB for each of IDLE_LEGS that have carried nothing."""
    warm = [relayd.joined() for _ in range(20)]
    before = _private_dirty_kb(relayd)
    legs = [relayd.joined() for _ in range(IDLE_LEGS // 2)]
    after = _private_dirty_kb(relayd)
    for one, other in (*warm, *legs):
        one.close()
        other.close()
    return round((after - before) / IDLE_LEGS, 1)


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
        relayd, null = Relayd(directory), Null(directory)
        peers: list[Peer] = [
            relayd, Reference(directory), Coturn(directory), CoturnAsUsed(directory),
            Haproxy(directory), null,
        ]  # fmt: skip
        if derper is not None:
            peers.append(Derper(directory, derper))
        for peer in peers:
            peer.start()
            undo.callback(peer.stop)
        carried = throughput(peers, rounds)
        overloaded = [peer for peer in peers if peer.name in {"relayd", "websockets", "derper"}]
        dropped = relayd.drops()
        overload = relay_overload.measure(overloaded, null, rounds)
        dropped = {why: count - dropped[why] for why, count in relayd.drops().items()}
        trips, idle = latency(relayd, rounds), idle_memory(relayd)
        report(
            "relayd",
            {
                "throughput": carried,
                "overload": {
                    "conditions": relay_overload.CONDITIONS,
                    **overload,
                    "messages_dropped_by_relayd": dropped,
                },
                "round_trip": trips,
                "idle": {"legs": IDLE_LEGS, "private_dirty_kib_per_leg": idle},
                "derper": "measured" if derper is not None else "not measured: Go is missing",
                "targets": against_targets(carried, overload["relayd"], trips, idle),
            },
        )


def against_targets(
    carried: dict[str, dict[str, dict[str, Spread]]],
    overload: dict[str, dict[str, Spread]],
    trips: dict[str, Spread],
    kib_per_leg: float,
) -> dict[str, object]:
    """Say of each target what was seen (medians), and whether that is enough."""
    found: dict[str, object] = {}
    for name, least in TARGETS.items():
        seen = {
            c: told["ratio"][name].median for c, told in carried.items() if name in told["ratio"]
        }
        met = bool(seen) and all(each >= least for each in seen.values())
        found[f"ratio to {name}"] = {"at_least": least, "seen": seen, "met": met}
    for case in relay_overload.CASES:
        each = overload[case]["goodput_of_peak"].median
        found[f"overload, {case}: goodput of peak"] = {
            "at_least": GOODPUT_OF_PEAK, "seen": each, "met": each >= GOODPUT_OF_PEAK,
        }  # fmt: skip
    for name, most, each in (
        ("round trip at full load to idle", RTT_OF_IDLE, trips["ratio"].median),
        ("KiB per idle leg", KIB_PER_LEG, kib_per_leg),
    ):
        found[name] = {"at_most": most, "seen": each, "met": each <= most}
    return found


if __name__ == "__main__":
    main()
