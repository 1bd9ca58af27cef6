"""Throughput of the relayed path on this machine: UDP → end → relayd → end → UDP.

Real processes: relayd over TLS, two tunnel ends, and a generator in the place of both WireGuards.
Three kinds of end take turns: `on`, the suite's; `off`, the loop one writes first, with one packet
per read and per message (`bench.obvious_end`); and `one_per_message`, the suite's code with room
for one packet in a burst, which still reads and writes in batches. relayd is the same for all.
The target is set against `off`. Then `overload`: the suite's ends get OVERLOAD times what
the window brought, at an even pace that heeds nobody. All processes share this machine's CPUs, so
the figures are ratios, not capacity. The last line is one JSON object.

Run it with `python -m bench.chain` or `make bench-chain`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.measure import cpu_s, interleave, medians, ratio, report
from bench.obvious_end import run_obvious_end
from bench.relay_cloud import Cloud, pem_of, relayd_drops, session_id
from bench.udp_load import PACKET_BYTES, flood, pour, wait_for_path
from rclib.runtime.logs import configure_logging, get_logger
from rclib.runtime.loop import new_event_loop
from rclib.tunnel.burst_buffer import MAX_BURST_BYTES, MAX_PACKET_BYTES
from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_set import RelaySet
from rclib.tunnel.udp_pump import UdpPump, drops_of
from rclib.tunnel.uplink import Uplink
from rclib.wire.identity import Side
from rclib.wire.relay import DATA_HEADER_BYTES
from relayd.server import TICK_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from rclib.wire.control import RelayLeg

ON_TO_OFF: Final = 5.0
OVERLOAD: Final = 3.0
OVERLOAD_ROUNDS: Final = 3


@dataclass(frozen=True)
class Round:
    """What one round showed."""

    gbit_per_s: float
    gbit_per_relay_cpu_s: float
    gbit_per_sending_end_cpu_s: float
    gbit_per_receiving_end_cpu_s: float
    lost_packets: int
    kernel_drops: int
    """Packets that found a loopback socket of an end full."""
    socket_drops: int
    """Packets an end could not hand to its WireGuard."""
    leg_drops: int
    """Messages an end's leg gave up."""


def main() -> None:
    parser = argparse.ArgumentParser(description="throughput of the relayed path")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cloud = Cloud(Path(directory))
        rounds = interleave(
            {name: partial(measure, cloud, run, arguments.seconds) for name, run in ENDS.items()},
            arguments.rounds,
        )
        overload = [measure_overload(cloud, arguments.seconds / 2) for _ in range(OVERLOAD_ROUNDS)]
    counted = {name: found[1:] for name, found in rounds.items()}  # the first round warms up
    speed = {name: [each.gbit_per_s for each in found] for name, found in counted.items()}
    on_to_off = ratio(speed["on"], speed["off"])
    report(
        "chain",
        {
            "packet_bytes": PACKET_BYTES,
            "rounds": len(counted["on"]),
            **{name: medians(found) for name, found in counted.items()},
            "on_to_off": on_to_off,
            "on_to_one_per_message": ratio(speed["on"], speed["one_per_message"]),
            "overload": medians(overload),
            "target": {"on_to_off": ON_TO_OFF, "met": on_to_off.median >= ON_TO_OFF},
        },
    )


@dataclass(frozen=True)
class Overload:
    """What one round of too much showed; of packets, shares of what was offered."""

    offered_of_peak: float
    goodput_of_peak: float
    refused_to_source: float
    """By the generator's own socket."""
    dropped_by_sending_socket: float
    """At the sending end's socket: where the real end drops, too."""
    dropped_between_ends: float
    """By the queues of the sending leg and of the relay, which drop whole messages:"""
    messages_dropped_by_sending_leg: float
    messages_dropped_by_relay: float
    dropped_by_receiving_end: float
    dropped_by_sink: float
    """At the generator's receiving socket."""
    late: float
    """Were under way when the last one left."""
    cpu_of_peak: float
    """What relay and ends had of the CPUs, beside what they had at the peak."""


@dataclass
class Chain:
    """Generator, two ends and relay, running."""

    source: socket.socket
    sink: socket.socket
    relayd_pid: int
    ends: list[End]


@contextmanager
def running(cloud: Cloud, run: RunEnd) -> Iterator[Chain]:
    """Start all of it; the ends are there to be stopped."""
    with ExitStack() as stack:
        relayd_pid, url = stack.enter_context(cloud.relayd())
        source, sink = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        )
        ends = [
            stack.enter_context(tunnel_end(cloud, side, url, wireguard, run))
            for side, wireguard in ((Side.TECHNICIAN, source), (Side.GATEWAY, sink))
        ]
        wait_for_path(source, sink)
        yield Chain(source, sink, relayd_pid, ends)


def measure(cloud: Cloud, run: RunEnd, seconds: float) -> Round:
    with running(cloud, run) as chain:
        pids = (chain.relayd_pid, *(end.pid for end in chain.ends))
        before = [cpu_s(pid) for pid in pids]
        sent, received, elapsed = flood(chain.source, chain.sink, seconds)
        relay, sending, receiving = (
            cpu_s(pid) - then for pid, then in zip(pids, before, strict=True)
        )
        lost = [end.stop() for end in chain.ends]
    gbit = received * PACKET_BYTES * 8 / 1e9
    return Round(
        round(gbit / elapsed, 3),
        round(gbit / relay, 2),
        round(gbit / sending, 2),
        round(gbit / receiving, 2),
        lost_packets=sent - received,
        kernel_drops=sum(each.kernel_drops for each in lost),
        socket_drops=sum(each.socket_drops for each in lost),
        leg_drops=sum(each.leg_drops for each in lost),
    )


def measure_overload(cloud: Cloud, seconds: float) -> Overload:
    with running(cloud, ENDS["on"]) as chain:
        pids = (chain.relayd_pid, *(end.pid for end in chain.ends))
        cpu = cpu_s(*pids)
        _, received, elapsed = flood(chain.source, chain.sink, seconds)
        peak, peak_cpu = received / elapsed, (cpu_s(*pids) - cpu) / elapsed
        cpu = cpu_s(*pids)
        poured = pour(chain.source, chain.sink, seconds, OVERLOAD * peak)
        used = (cpu_s(*pids) - cpu) / poured.seconds
        sending, receiving = (end.stop() for end in chain.ends)
        sink_drops = drops_of(chain.sink)
        time.sleep(2 * TICK_S)  # the relay's own count of drops is shown once a tick
        relay_drops = sum(relayd_drops(cloud.status_port).values())
    share = partial(_share, poured.offered)
    return Overload(
        round(poured.offered / poured.seconds / peak, 3),
        round(poured.arrived / poured.seconds / peak, 3),
        share(poured.refused),
        share(sending.kernel_drops),
        share(sending.from_wireguard - receiving.to_wireguard),
        sending.leg_drops,
        relay_drops,
        share(receiving.socket_drops),
        share(sink_drops),
        share(poured.late),
        round(used / peak_cpu, 3),
    )


def _share(whole: int, part: int) -> float:
    return round(part / whole, 4)


# The processes.


@dataclass(frozen=True)
class Counts:
    """Packets that an end passed on or lost, but for messages that its leg gave up."""

    kernel_drops: int
    socket_drops: int
    leg_drops: int
    from_wireguard: int = 0
    to_wireguard: int = 0
    """With those that the socket did not take."""


@dataclass
class End:
    """A tunnel end in a process of its own."""

    pid: int
    pipe: Connection

    def stop(self) -> Counts:
        self.pipe.send("stop")
        return Counts(*self.pipe.recv())


@contextmanager
def tunnel_end(
    cloud: Cloud, side: Side, url: str, wireguard: socket.socket, run: RunEnd
) -> Iterator[End]:
    """Run one end towards `wireguard`, which is bound and connected to it."""
    wireguard.bind(("127.0.0.1", 0))
    wireguard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    secret = Ed25519PrivateKey.generate()
    leg = cloud.leg(side, Identity(secret), url, session_id(0))
    ours, theirs = mp.Pipe()
    port = wireguard.getsockname()[1]
    job = (theirs, pem_of(secret), leg, cloud.certificate, port)
    process = mp.get_context("spawn").Process(target=run, args=job)
    process.start()
    try:
        wireguard.connect(("127.0.0.1", ours.recv()))
        if process.pid is None:
            raise AssertionError("it was started")
        yield End(process.pid, ours)
    finally:
        process.join(timeout=5)
        process.kill()


def run_end(
    pipe: Connection, secret: bytes, leg: RelayLeg, ca: Path, wireguard: int, max_burst_bytes: int
) -> None:
    configure_logging("error")

    async def run() -> None:
        key = serialization.load_pem_private_key(secret, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("the key of an end is Ed25519")
        tls = ssl.create_default_context(cafile=str(ca))
        log = get_logger("bench")
        # Each needs the other; the pump comes first, and nothing flows before both are there.
        pump = UdpPump(lambda burst: relays.send(burst), log, max_burst_bytes=max_burst_bytes)  # noqa: PLW0108
        relays = RelaySet((leg,), Identity(key).sign, Uplink(tls), log, pump.deliver)
        relays.start()
        pump.wireguard_listens(wireguard)
        pipe.send(pump.port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        counters = pump.counters
        packets = counters.from_wireguard_packets, counters.to_wireguard_packets
        lost = pump.kernel_drops, counters.dropped_by_socket, relays.dropped_messages
        pipe.send((*lost, *packets))
        await relays.close()
        pump.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


RunEnd = Callable[["Connection", bytes, "RelayLeg", Path, int], None]
ENDS: Final[dict[str, RunEnd]] = {
    "on": partial(run_end, max_burst_bytes=MAX_BURST_BYTES),
    "off": run_obvious_end,
    "one_per_message": partial(run_end, max_burst_bytes=DATA_HEADER_BYTES + MAX_PACKET_BYTES),
}


if __name__ == "__main__":
    main()
