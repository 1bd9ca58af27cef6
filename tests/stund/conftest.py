from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from rclib.wire.stun_attributes import MAGIC_COOKIE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STOP_S = 15


def binding_request(body: bytes = b"", transaction_id: bytes = bytes(range(12))) -> bytes:
    return struct.pack("!HHI12s", 0x0001, len(body), MAGIC_COOKIE, transaction_id) + body


class StundProcess:
    """A running `stund`."""

    def __init__(self, *arguments: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stund", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.events: list[dict[str, Any]] = []
        self.ports: list[int] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "socket_opened":
                self.ports.append(int(self.events[-1]["listen"].rpartition(":")[2]))
            if self.events[-1]["event"] == "service_ready":
                return
        raise AssertionError(f"stund did not start: {self.events}")

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return self.ports[0]

    def children(self) -> list[int]:
        path = f"/proc/{self.pid}/task/{self.pid}/children"
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
            return [int(pid) for pid in file.read().split()]

    def resident_kb(self) -> int:
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
            return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))

    def next_event(self, event: str) -> dict[str, Any]:
        """Read on in the log up to an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(f"stund ended before {event!r}: {self.events}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its status; what it wrote is in `events`."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=STOP_S)
        self.events += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@pytest.fixture
def start_stund() -> Iterator[Callable[..., StundProcess]]:
    """Start stund processes that end with the test, without complaint."""
    running: list[StundProcess] = []

    def start(*arguments: str) -> StundProcess:
        running.append(StundProcess(*arguments))
        return running[-1]

    yield start
    for stund in running:
        if stund.process.poll() is None:
            assert stund.stop() == 0
        assert [event for event in stund.events if "exception" in event] == []
        if stund.process.stderr is not None:
            stund.process.stderr.close()


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "stund.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def udp() -> Iterator[Callable[..., socket.socket]]:
    """Open UDP sockets with a deadline that are closed with the test."""
    with ExitStack() as undo:

        def open_udp(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.settimeout(20)
            sock.bind((host, port))
            return sock

        yield open_udp


@pytest.fixture
def request_of() -> Callable[..., bytes]:
    """Build a Binding request with these attribute bytes."""
    return binding_request
