"""stund against coturn, its peer: answers per CPU-second, and memory per new source port.

One core is the server's, another the load generator's (bench/stund_load.c), which keeps a fixed
number of requests under way and tells how much of its time it waited for the server. Both servers
are up all the time and take turns. stund runs without its rate limit, which coturn has none of for
Binding. The last line is one JSON object.

Run it with `make bench-stund`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
ADDRESS: Final = "127.0.0.1"
UNDER_WAY: Final = 1024
"""Requests on the way: fewer than either server's receive queue holds, so none need be lost."""
BURST: Final = 8
"""Requests sent from a port in a row: enough for the generator to be faster than either server."""
SOURCE_PORTS: Final = (1, 500)
FRESH_PORTS: Final = 3000
"""Ports in whose wake memory is compared: that many clients once, not the load of one."""
MAX_BUSY: Final = 0.98
WARM_UP_S: Final = 0.5
START_S: Final = 20.0


@dataclass(frozen=True)
class Round:
    """What one server did in one round."""

    answers_per_cpu_s: float
    answers_per_s: float
    server_busy: float
    """Share of its core."""
    load_busy: float
    """Share of the time the load generator did not wait for the server; below 1 it kept up."""
    lost: int
    wrong: int


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    pid: int
    port: int


@dataclass(frozen=True)
class Load:
    """The load generator, on a core of its own."""

    program: Path
    core: int

    def run(self, server: Server, ports: int, seconds: float) -> dict[str, float]:
        """Ask the server from that many ports, for so long; ports differ from run to run."""
        command = [self.program, ADDRESS, server.port, ports, seconds, UNDER_WAY, BURST]
        done = subprocess.run(
            list(map(str, command)),
            check=True,
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            preexec_fn=partial(os.sched_setaffinity, 0, {self.core}),
        )
        figures: dict[str, float] = json.loads(done.stdout)
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="stund against coturn")
    parser.add_argument("--rounds", type=int, default=7, help="per number of source ports")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004 - one for each side
        raise SystemExit("server and load need a core each; this machine lends one only")
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        load = Load(measure.compile_c(HERE / "stund_load.c", directory), cores[1])
        servers = [
            undo.enter_context(started)
            for started in (stund(cores[0]), coturn(cores[0], directory))
        ]
        throughput = {
            f"source_ports_{ports}": compare(servers, load, ports, arguments)
            for ports in SOURCE_PORTS
        }
        growth = {each.name: rss_growth_bytes(each, load) for each in servers}
    measure.report(
        "stund",
        {
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            **throughput,
            "rss_growth_bytes_per_new_source_port": growth,
        },
    )


def compare(
    servers: list[Server], load: Load, ports: int, arguments: argparse.Namespace
) -> dict[str, object]:
    for server in servers:
        load.run(server, ports, WARM_UP_S)
    rounds = measure.interleave(
        {each.name: partial(one_round, each, load, ports, arguments.seconds) for each in servers},
        arguments.rounds,
    )
    ours, theirs = ([each.answers_per_cpu_s for each in rounds[server.name]] for server in servers)
    saturated = max(each.load_busy for found in rounds.values() for each in found)
    if saturated > MAX_BUSY:
        raise SystemExit(f"the load generator was {saturated:.0%} busy: it is what was measured")
    return {
        "ratio": measure.ratio(ours, theirs),
        "answers_per_cpu_s": {
            server.name: measure.spread(figures, 0)
            for server, figures in zip(servers, (ours, theirs), strict=True)
        },
        "median_round": {name: measure.medians(found) for name, found in rounds.items()},
    }


def one_round(server: Server, load: Load, ports: int, seconds: float) -> Round:
    before = measure.cpu_s(server.pid)
    figures = load.run(server, ports, seconds)
    used = measure.cpu_s(server.pid) - before
    return Round(
        answers_per_cpu_s=round(figures["answered"] / used),
        answers_per_s=round(figures["answered"] / figures["seconds"]),
        server_busy=round(used / figures["seconds"], 3),
        load_busy=figures["busy"],
        lost=int(figures["sent"] - figures["answered"]),
        wrong=int(figures["wrong"]),
    )


def rss_growth_bytes(server: Server, load: Load) -> float:
    # The first pass touches buffers for the first time; what the second adds is per port.
    load.run(server, FRESH_PORTS, 1.0)
    before = measure.rss_kb(server.pid)
    load.run(server, FRESH_PORTS, 1.0)
    return round((measure.rss_kb(server.pid) - before) * 1024 / FRESH_PORTS, 1)


# The servers.


@contextmanager
def stund(core: int) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "stund", "--no-rate-limit", "--listen", f"{ADDRESS}:{port}"]
    with running("stund", command, port, core) as server:
        yield server


@contextmanager
def coturn(core: int, directory: Path) -> Iterator[Server]:
    """Run coturn with one relay thread and nothing but STUN."""
    port = free_port()
    command = [
        measure.require("turnserver", "coturn"),
        *("-n", "--stun-only", "--relay-threads=1", f"--listening-ip={ADDRESS}"),
        *(f"--listening-port={port}", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp"),
        *("--log-file=/dev/null", "--simple-log", f"--pidfile={directory / 'coturn.pid'}"),
        *(f"--userdb={directory / 'coturn.db'}", "--no-rfc5780"),
    ]
    with running("coturn", command, port, core) as server:
        yield server


@contextmanager
def running(name: str, command: list[str], port: int, core: int) -> Iterator[Server]:
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - one thread here
    ) as process:
        try:
            wait_for_answer(name, process, port)
            yield Server(name, process.pid, port)
        finally:
            process.terminate()


def wait_for_answer(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    request = bytes.fromhex("000100002112a442") + bytes(12)
    deadline = time.monotonic() + START_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((ADDRESS, port))
        while time.monotonic() < deadline and process.poll() is None:
            try:
                sock.send(request)
                sock.recv(100)
            except (TimeoutError, ConnectionRefusedError):
                continue
            return
    raise SystemExit(f"{name} does not answer")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ADDRESS, 0))
        port: int = sock.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
