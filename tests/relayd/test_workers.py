"""A relay with several workers: each session lives in one, and no other feels its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from rclib.tunnel.relay_leg import LegState
from rclib.wire.identity import Side
from rclib.wire.ids import SessionId
from rclib.wire.relay import CloseReason
from relayd.worker_metrics import WorkerMetrics
from testbed.waiting import until
from tests.relayd.test_process import PATIENCE_S, log_lines, relayd, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.relayd.conftest import Authority, Join, Probe, ProcessRelay

SESSIONS = [SessionId("ses_" + letter * 16) for letter in "ab"]
BURST = b"\x10\x00\x04\x04123"


def free_ports(count: int) -> int:
    """The first of so many neighbours."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            first: int = probe.getsockname()[1]
        if all(is_free(first + number) for number in range(count)):
            return first


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError):
        return False
    return True


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


class Cluster:
    """A relay process with two workers, and where they are."""

    def __init__(self, process: asyncio.subprocess.Process, first: int, status: int) -> None:
        self.process = process
        self.ports = [first, first + 1]
        self._status = f"http://127.0.0.1:{status}/metrics"

    async def metric(self, line: str) -> float:
        async with aiohttp.ClientSession() as http, http.get(self._status) as page:
            for each in (await page.text()).splitlines():
                if each.startswith(f"{line} "):
                    return float(each.split()[-1])
        return 0.0

    async def shows(self, line: str, value: float) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric(line) != value:
                pass  # the request gives everybody their turn


@pytest.fixture
async def cluster(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> AsyncIterator[Cluster]:
    first, status = free_ports(2), free_ports(1)
    config = write_config(tmp_path, authority, first)
    more = f'workers = 2\n[status]\nlisten = "127.0.0.1:{status}"\n'
    config.write_text(config.read_text() + more)
    async with relayd(config) as process:
        await log_lines(process, "service_ready")
        yield Cluster(process, first, status)


@asynccontextmanager
async def pairs(
    cluster: Cluster, join: Join, process_relay: ProcessRelay
) -> AsyncIterator[list[tuple[Probe, Probe]]]:
    """One at each worker."""
    joined = []
    for port, session in zip(cluster.ports, SESSIONS, strict=True):
        relay = process_relay(port)
        legs = [await join(relay, side, session=session) for side in Side]
        for leg in legs:
            await leg.reaches(LegState.PAIRED)
        joined.append((legs[0], legs[1]))
    yield joined


async def test_each_worker_relays_its_own_sessions(
    cluster: Cluster, join: Join, process_relay: ProcessRelay
) -> None:
    async with pairs(cluster, join, process_relay) as joined:
        for one, other in joined:
            one.send(BURST)
            await other.receives([BURST])
        await cluster.shows("relayd_legs", 4)
        await cluster.shows("relayd_relayed_messages_total", 2)
        # The same session at another worker is another channel: nothing passes between them.
        stray = await join(process_relay(cluster.ports[1]), Side.GATEWAY, session=SESSIONS[0])
        await stray.reaches(LegState.ALONE)


async def test_a_worker_that_dies_takes_only_its_own_legs_and_is_replaced(
    cluster: Cluster, join: Join, process_relay: ProcessRelay
) -> None:
    async with pairs(cluster, join, process_relay) as joined:
        await cluster.shows("relayd_legs", 4)
        victim = children(cluster.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        gone = [pair for pair in joined if pair[0].core.state is not LegState.PAIRED]
        async with asyncio.timeout(PATIENCE_S):
            while not gone:
                await asyncio.sleep(0.01)
                gone = [pair for pair in joined if pair[0].core.state is LegState.ENDED]
        (stays,) = [pair for pair in joined if pair not in gone]
        stays[0].send(BURST)
        await stays[1].receives([BURST])
        await cluster.shows("relayd_worker_restarts_total", 1)
        await cluster.shows("relayd_legs", 2)
        number = joined.index(gone[0])
        again = await join(
            process_relay(cluster.ports[number]), Side.GATEWAY, session=SESSIONS[number]
        )
        await again.reaches(LegState.ALONE)


async def test_at_the_end_every_leg_of_every_worker_is_told_and_no_process_stays(
    cluster: Cluster, join: Join, process_relay: ProcessRelay
) -> None:
    async with pairs(cluster, join, process_relay) as joined:
        workers = children(cluster.process.pid)
        cluster.process.send_signal(signal.SIGTERM)
        for leg in (leg for pair in joined for leg in pair):
            assert await leg.reason() is CloseReason.SHUTTING_DOWN
        async with asyncio.timeout(PATIENCE_S):
            assert await cluster.process.wait() == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


async def test_workers_do_not_outlive_a_parent_that_is_killed(cluster: Cluster) -> None:
    workers = children(cluster.process.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # so that it cannot find out by itself
    cluster.process.kill()

    def all_gone() -> bool:
        return all(is_gone(worker) for worker in workers)

    await asyncio.to_thread(until, all_gone, PATIENCE_S, "the workers' end")


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_busy_port_of_a_worker_is_said(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    first = free_ports(2)
    with socket.create_server(("127.0.0.1", first + 1)):
        config = write_config(tmp_path, authority, first)
        config.write_text(config.read_text() + "workers = 2\n")
        async with relayd(config) as process:
            _, said = await process.communicate()
            assert process.returncode == 2
    assert b"another process already uses it" in said
    assert b"Traceback" not in said


def page(legs: int, messages: int) -> str:
    registry = CollectorRegistry()
    Gauge("relayd_legs", "Legs.", registry=registry).set(legs)
    counter = Counter("relayd_messages", "Messages.", ["reason"], registry=registry)
    counter.labels("a").inc(messages)
    Gauge("process_other", "Not ours.", registry=registry).set(1)
    return generate_latest(registry).decode()


def test_what_was_counted_stays_when_a_worker_ends_and_what_was_open_does_not() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.reported(0, page(legs=3, messages=10))
    metrics.reported(1, page(legs=4, messages=20))

    def shown() -> tuple[float | None, float | None]:
        messages = registry.get_sample_value("relayd_messages_total", {"reason": "a"})
        return registry.get_sample_value("relayd_legs"), messages

    assert shown() == (7, 30)
    metrics.ended(0)
    assert shown() == (4, 30)
    metrics.reported(0, page(legs=1, messages=5))
    assert shown() == (5, 35)
    assert registry.get_sample_value("process_other") is None
