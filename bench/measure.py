"""What every benchmark needs: fair rounds, honest CPU times, robust figures, one JSON object.

A shared or throttled machine changes its speed from minute to minute. So candidates take turns in
short rounds, only ratios within one round are compared, and the median and range of those ratios
are reported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")
NS_PER_S = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle and the range of some figures."""

    median: float
    lowest: float
    highest: float


def interleave(candidates: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run each candidate once per round; returns their results in the order of the rounds.

    Every other round goes backwards, so that no candidate always follows the same one.
    """
    results: dict[str, list[T]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name in reversed(list(candidates)) if number % 2 else candidates:
            result = candidates[name]()
            results[name].append(result)
            print(f"round {number + 1} of {rounds}, {name}: {result}", file=sys.stderr)
    return results


def spread(values: Iterable[float], digits: int = 3) -> Spread:
    """Summarise one figure of several rounds."""
    found = sorted(values)
    return Spread(
        *(round(each, digits) for each in (statistics.median(found), found[0], found[-1]))
    )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Compare two candidates round by round, but for rounds in which nothing was measured.

    On a busy machine a candidate may not have had its CPU at all. ValueError: in no round.
    """
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a and b]
    if not both:
        raise ValueError("there is no round in which both were measured")
    return spread(a / b for a, b in both)


def medians(rounds: Sequence[Any]) -> dict[str, float]:
    """Return the median of each field of dataclass instances, all of one type."""
    names = [field.name for field in dataclasses.fields(rounds[0])]
    return {name: statistics.median(getattr(each, name) for each in rounds) for name in names}


def cpu_s(*pids: int) -> float:
    """Seconds these processes' living threads have been on a CPU, to the nanosecond.

    The tick counts of /proc/PID/stat mislead below saturation. Take the difference of two calls.
    """
    total_ns = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / NS_PER_S


def rss_kb(*pids: int) -> int:
    """Memory of these processes that is in RAM, counted page by page (smaps_rollup)."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Rss:")
    )


def pin(pid: int, cpu: int) -> None:
    """Keep every thread of a process on one CPU; threads and processes it starts inherit that."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


@contextmanager
def preferred(*pids: int) -> Iterator[None]:
    """Let these processes run before everything else on their CPUs, as on a machine of their own.

    What other programs of this machine would take from them is no property of theirs.
    """
    _schedule(pids, os.SCHED_FIFO, 10)
    try:
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, 0)


def _schedule(pids: Iterable[int], policy: int, priority: int) -> None:
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))


def require(program: str, package: str) -> str:
    """Return the path of a program, installing its Debian package if it is missing."""
    if found := shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return found
    if os.geteuid():
        raise SystemExit(f"{program} is missing; please run: sudo apt-get install {package}")
    print(f"installing {package}", file=sys.stderr)
    for command in (
        ("apt-get", "update", "-qq"),
        ("apt-get", "install", "-y", "-qq", "--no-install-recommends", package),
    ):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return require(program, package)


def compile_c(source: Path, directory: Path) -> Path:
    """Build a C program into `directory` and return its path."""
    program = directory / source.stem
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    return program


def report(name: str, figures: Mapping[str, Any]) -> None:
    """Print the result as the last line of stdout: one JSON object, with the machine it is from."""
    machine = {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    print(json.dumps({name: {"machine": machine} | dict(figures)}, default=_plain))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{value!r} has no place in a report")
