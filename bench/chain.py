"""Throughput of the relayed path on this machine: UDP → end → relayd → end → UDP.

Real processes: relayd over TLS, two tunnel ends, and a generator in the place of both WireGuards.
Three kinds of end take turns: `on`, the suite's; `off`, the loop one writes first, with one packet
per read and per message (`bench.obvious_end`); and `one_per_message`, the suite's code with room
for one packet in a burst, which still reads and writes in batches. relayd is the same for all.
The target is set against `off`. All processes share this machine's CPUs, so the figures are ratios,
not capacity. The last line is one JSON object.

Run it with `python -m bench.chain` or `make bench-chain`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.measure import cpu_s, interleave, medians, ratio, report
from bench.obvious_end import run_obvious_end
from bench.relay_cloud import Cloud, pem_of, session_id
from rclib.runtime.logs import configure_logging, get_logger
from rclib.runtime.loop import new_event_loop
from rclib.tunnel.burst_buffer import MAX_BURST_BYTES, MAX_PACKET_BYTES
from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_set import RelaySet
from rclib.tunnel.udp_pump import UdpPump
from rclib.tunnel.uplink import Uplink
from rclib.wire.identity import Side
from rclib.wire.relay import DATA_HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from rclib.wire.control import RelayLeg

PACKET_BYTES: Final = 1452
BATCH: Final = 32
"""Packets the generator hands to the kernel in one call, so that it is not what is measured."""
WINDOW: Final = 256
"""Packets under way: the generator waits for the sink as TCP inside the tunnel would."""
STALL_S: Final = 0.05
UDP_SEGMENT: Final = 103


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
    counted = {name: found[1:] for name, found in rounds.items()}  # the first round warms up
    speed = {name: [each.gbit_per_s for each in found] for name, found in counted.items()}
    report(
        "chain",
        {
            "packet_bytes": PACKET_BYTES,
            "rounds": len(counted["on"]),
            **{name: medians(found) for name, found in counted.items()},
            "on_to_off": ratio(speed["on"], speed["off"]),
            "on_to_one_per_message": ratio(speed["on"], speed["one_per_message"]),
            "target": {"on_to_off": 5},
        },
    )


def measure(cloud: Cloud, run: RunEnd, seconds: float) -> Round:
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
        pids = (relayd_pid, *(end.pid for end in ends))
        before = [cpu_s(pid) for pid in pids]
        sent, received, elapsed = flood(source, sink, seconds)
        relay, sending, receiving = (
            cpu_s(pid) - then for pid, then in zip(pids, before, strict=True)
        )
        kernel, to_wireguard, legs = zip(*(end.stop() for end in ends), strict=True)
    gbit = received * PACKET_BYTES * 8 / 1e9
    return Round(
        round(gbit / elapsed, 3),
        round(gbit / relay, 2),
        round(gbit / sending, 2),
        round(gbit / receiving, 2),
        lost_packets=sent - received,
        kernel_drops=sum(kernel),
        socket_drops=sum(to_wireguard),
        leg_drops=sum(legs),
    )


# The generator.


def wait_for_path(source: socket.socket, sink: socket.socket) -> None:
    """Send until packets come through and none is under way."""
    sink.settimeout(0.2)
    deadline = time.monotonic() + 20
    came = False
    while time.monotonic() < deadline:
        if not came:
            source.send(b"\x04 is the path there?")
        try:
            came = bool(sink.recv(MAX_PACKET_BYTES))
        except TimeoutError:
            if came:
                return
    raise SystemExit("no packet came through within 20 s")


def flood(source: socket.socket, sink: socket.socket, seconds: float) -> tuple[int, int, float]:
    """Keep WINDOW packets under way; returns packets sent, received, and the seconds."""
    batch = (b"\x04" + bytes(PACKET_BYTES - 1)) * BATCH
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", PACKET_BYTES))]
    buffer = bytearray(MAX_PACKET_BYTES)
    source.settimeout(0)
    sent = received = lost = 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        while sent - received - lost <= WINDOW - BATCH:
            source.sendmsg([batch], control)
            sent += BATCH
        sink.settimeout(STALL_S)
        try:
            sink.recv_into(buffer)
        except TimeoutError:
            lost = sent - received
            continue
        received += 1
        sink.settimeout(0)
        with suppress(BlockingIOError):
            for _ in range(BATCH):
                sink.recv_into(buffer)
                received += 1
    return sent, received, time.monotonic() - start


# The processes.


@dataclass
class End:
    """A tunnel end in a process of its own."""

    pid: int
    pipe: Connection

    def stop(self) -> tuple[int, int, int]:
        """Return what it lost: kernel drops, socket drops, leg drops."""
        self.pipe.send("stop")
        kernel, to_wireguard, legs = self.pipe.recv()
        return kernel, to_wireguard, legs


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
        pipe.send((pump.kernel_drops, counters.dropped_by_socket, relays.dropped_messages))
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
