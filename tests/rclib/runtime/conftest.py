from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rclib.runtime.logs import configure_logging
from rclib.runtime.loop import new_event_loop

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

PROGRAM = str(Path(__file__).with_name("service_program.py"))


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on both loops: adapters must not depend on one."""
    return {"asyncio": asyncio.new_event_loop, "platform": new_event_loop}


@pytest.fixture
def keep_logging() -> Iterator[None]:
    """Undo what configure_logging does to the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    server = logging.getLogger("aiohttp.server")
    server_level = server.level
    yield
    configure_logging("notset", pretty=False)
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    server.setLevel(server_level)


@pytest.fixture
def log_lines(keep_logging: None) -> Callable[[], list[dict[str, Any]]]:
    """Return the lines logged so far, as an operator's log collector reads them."""
    stream = io.StringIO()
    configure_logging("info", stream=stream, pretty=False)
    return lambda: [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


class MiniDaemon:
    """A running service_program.py; `log` collects what it wrote to stderr."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.log: list[dict[str, Any]] = []
        self.text: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )

    def read_until(self, event: str) -> dict[str, Any]:
        """Return the line of the event; fails if the process ends before."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self._keep(text)
            if self.log and self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"no {event} in {self.text}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return status and stdout."""
        stdout, stderr = self.process.communicate(timeout=30)
        for text in stderr.splitlines():
            self._keep(text)
        return self.process.returncode, stdout

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.log]

    def _keep(self, text: str) -> None:
        self.text.append(text.rstrip("\n"))
        if text.startswith("{"):
            self.log.append(msgspec.json.decode(text))


@pytest.fixture
def start_daemon() -> Iterator[Callable[..., MiniDaemon]]:
    """Start service_program.py; whatever still runs at the end of the test is killed."""
    started: list[MiniDaemon] = []

    def start(*arguments: str, **environment: str) -> MiniDaemon:
        started.append(MiniDaemon(list(arguments), environment))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.process.kill()
        with daemon.process:
            pass
