"""Several workers: they share the load and the rates, and are started anew when one ends."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.waiting import until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.stund.conftest import StundProcess

    Start = Callable[..., StundProcess]
    OpenUdp = Callable[..., socket.socket]
    Request = Callable[..., bytes]

PATIENCE_S = 30
CLIENTS = 40  # one worker alone gets none of 40 with a chance of 1 in 10^12


@pytest.fixture
def two_workers(start_stund: Start, write_config: Callable[[str], str]) -> StundProcess:
    return start_stund(
        "--no-rate-limit", "--config", write_config('listen = ["127.0.0.1:0"]\nworkers = 2\n')
    )


def cpu_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def answers_all(clients: list[socket.socket], port: int, request: bytes) -> bool:
    for client in clients:
        client.settimeout(2)
        client.sendto(request, ("127.0.0.1", port))
    with suppress(TimeoutError):
        return all(len(client.recv(100)) == 32 for client in clients)
    return False


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_clients_are_spread_over_the_workers(
    two_workers: StundProcess, udp: OpenUdp, request_of: Request
) -> None:
    workers = two_workers.children()
    assert len(workers) == 2
    clients = [udp() for _ in range(CLIENTS)]
    before = {pid: cpu_ns(pid) for pid in workers}
    for _ in range(20):
        assert answers_all(clients, two_workers.port, request_of())
    used = {pid: cpu_ns(pid) - before[pid] for pid in workers}
    assert min(used.values()) > max(used.values()) / 50
    assert two_workers.children() == workers


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    two_workers: StundProcess, udp: OpenUdp, request_of: Request
) -> None:
    clients = [udp() for _ in range(CLIENTS)]
    killed, other = two_workers.children()
    os.kill(killed, signal.SIGKILL)

    ended = two_workers.next_event("worker_ended")

    assert ended["status"] == -signal.SIGKILL
    until(lambda: len(two_workers.children()) == 2, PATIENCE_S, "the second worker")
    assert other in two_workers.children()
    until(
        lambda: answers_all(clients, two_workers.port, request_of()),
        PATIENCE_S,
        "answers to every client",
    )


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(
    two_workers: StundProcess, udp: OpenUdp, request_of: Request
) -> None:
    stopped, _ = two_workers.children()
    os.kill(stopped, signal.SIGSTOP)

    two_workers.next_event("worker_hung")
    ended = two_workers.next_event("worker_ended")

    assert ended["status"] == -signal.SIGKILL
    clients = [udp() for _ in range(CLIENTS)]
    until(
        lambda: answers_all(clients, two_workers.port, request_of()),
        PATIENCE_S,
        "answers to every client",
    )


@pytest.mark.slow
def test_workers_that_keep_ending_end_the_service(two_workers: StundProcess) -> None:
    """Going on would only burn CPU; systemd counts the restarts of the whole."""

    def kill_one() -> bool:
        for pid in two_workers.children()[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return two_workers.process.poll() is not None

    until(kill_one, 100, "stund to give up")
    assert two_workers.process.returncode != 0
    _, rest = two_workers.process.communicate()
    assert "soon after its start" in rest


def test_no_worker_outlives_the_one_that_started_it(two_workers: StundProcess) -> None:
    workers = two_workers.children()
    two_workers.stop(signal.SIGKILL)
    for pid in workers:
        until(lambda pid=pid: is_gone(pid), PATIENCE_S, f"the end of worker {pid}")


def test_the_stop_takes_all_of_them(two_workers: StundProcess) -> None:
    workers = two_workers.children()
    assert two_workers.stop() == 0
    assert all(is_gone(pid) for pid in workers)


def test_a_source_has_one_rate_whichever_workers_it_meets(
    start_stund: Start, write_config: Callable[[str], str], udp: OpenUdp, request_of: Request
) -> None:
    stund = start_stund(
        "--config",
        write_config(
            'listen = ["127.0.0.1:0"]\nworkers = 2\n'
            "[rate_limit]\nrequests_per_s = 0.001\nburst = 10\n"
        ),
    )
    clients = [udp() for _ in range(CLIENTS)]
    for client in clients:
        client.setblocking(False)
    # One after the other: what two workers judge in the same instant has a bound of its own.
    for number, client in enumerate(clients[:10]):
        client.sendto(request_of(), ("127.0.0.1", stund.port))
        until(lambda client=client: is_answered(client), PATIENCE_S, f"answer {number}")
    for client in clients:
        client.sendto(request_of(), ("127.0.0.1", stund.port))
    assert stund.stop() == 0
    assert not any(is_answered(client) for client in clients)


def is_answered(client: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return bool(client.recv(100))
    return False
