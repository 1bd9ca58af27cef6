"""A program running in a host: its signals, its end and its JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, TypeAlias

from testbed.errors import BedError, WaitTimeoutError
from testbed.forked import Forked
from testbed.namespaces import child_of
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Popen: TypeAlias = subprocess.Popen[str] | Forked
"""A program, or the nsenter in front of it, which ends as the program ends."""
Message: TypeAlias = dict[str, Any]
"""One line of JSON that a tool printed. Tools name the kind of line in `event`."""

_APPEAR_S = 5.0
_KILL_S = 5.0
_TAIL_LINES = 15


class Process:
    """Made by Host.popen."""

    def __init__(
        self,
        popen: Popen,
        name: str,
        out: Path,
        log: Path,
    ) -> None:
        self.popen = popen
        self.name = name
        self.out = out
        """What the program wrote to stdout (unless the caller took it)."""
        self.log = log
        """What it wrote to stderr."""
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The program's process id as this process sees it. BedError if it has already ended."""
        if isinstance(self.popen, Forked):
            return self.popen.pid
        popen = self.popen
        if self._pid is None:
            self._pid = until(
                lambda: child_of(popen) or (-1 if popen.poll() is not None else None),
                _APPEAR_S,
                f"{self.name} to start",
            )
        if self._pid < 0:
            raise BedError(f"{self.name} ended at once{self.post_mortem()}")
        return self._pid

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self.popen.poll()

    def wait(self, timeout_s: float) -> int:
        try:
            return self.popen.wait(timeout_s * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise WaitTimeoutError(f"{self.name} still runs after {timeout_s:g} s") from None

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the program itself. Does nothing when it has ended."""
        if self.popen.poll() is not None:
            return
        try:
            os.kill(self.pid, number)
        except BedError:
            if self.popen.poll() is None:
                raise
            return  # it ended between the two looks
        if number == signal.SIGCONT and isinstance(self.popen, subprocess.Popen):
            # nsenter stops along with its child and does not wake up with it.
            self.popen.send_signal(number)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, then SIGKILL after the timeout. Returns the exit status."""
        if self.popen.poll() is None:
            self.send_signal(signal.SIGTERM)
            try:
                return self.wait(timeout_s)
            except WaitTimeoutError:
                return self.kill()
        return self.wait(0)

    def kill(self) -> int:
        """SIGKILL, and wait for the end."""
        self.send_signal(signal.SIGKILL)
        return self.wait(_KILL_S)

    def messages(self) -> list[Message]:
        """All JSON lines printed so far; other lines are left out."""
        complete, _, _ = self.out.read_text().rpartition("\n")
        return [json.loads(line) for line in complete.splitlines() if line.startswith("{")]

    def wait_message(
        self,
        event: str,
        *,
        timeout_s: float = 30.0,
        where: Callable[[Message], bool] = lambda _: True,
    ) -> Message:
        """The first printed message of this kind that satisfies `where`."""

        def found() -> Message | None:
            ended = self.popen.poll() is not None
            for message in self.messages():
                if message.get("event") == event and where(message):
                    return message
            if ended:
                raise BedError(f"{self.name} ended without {event!r}{self.post_mortem()}")
            return None

        return until(found, timeout_s, f"{event!r} from {self.name}")

    def post_mortem(self) -> str:
        """How it ended, if it did, and the last lines it printed and logged."""
        files = [file for file in (self.out, self.log) if file.exists()]
        tail = [x for file in files for x in file.read_text().splitlines()[-_TAIL_LINES:]]
        return "\n".join([f" (exit status {self.popen.poll()})", *tail])
