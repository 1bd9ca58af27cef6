"""Python programs that start at once: forks of a process that has imported everything already.

On an emulated machine importing controld takes up to a minute, and a testbed starts a dozen
programs. A fork is still a process of its own in its host's namespaces, and runs its `__main__`;
only the importing is done once for all.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Final

from testbed.errors import BedError
from testbed.waiting import SLOWNESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAMS: Final = ("controld", "relayd", "stund", "rcd", "rcd.gate", "ams", "rcc", "rcc.gate")
_TOOLS: Final = "testbed.tools."
_BESIDES: Final = {"controld": ("controld.store_migrate",), "rcd.gate": ("rcd.gate.program",)}
"""What programs import late."""

_NAMESPACES: Final = ("uts", "net", "pid", "mnt")
_MESSAGE_BYTES: Final = 1 << 17
_READY_S: Final = 60.0


class Forked:
    """A running program, as far as the testbed looks at subprocess.Popen."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.returncode: int | None = None
        line = self._line()
        if line is None:
            raise BedError("a program could not be forked into its host")
        self.pid = line
        """The program's own; there is no nsenter in front."""

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._end()
        return self.returncode or 0

    def _end(self) -> None:
        line = self._line()
        self.returncode = -signal.SIGKILL if line is None else line
        self._status.close()

    def _line(self) -> int | None:
        text = self._status.readline()
        return int(text) if text else None


def can_run(command: Sequence[object], env: Mapping[str, str]) -> bool:
    """Whether a command is better forked here; what is preloaded needs a start of its own."""
    if SLOWNESS == 1 or os.geteuid() != 0 or "LD_PRELOAD" in env or len(command) < 3:  # noqa: PLR2004
        return False
    program, option, module = map(str, command[:3])
    known = module in PROGRAMS or module.startswith(_TOOLS)
    return program == sys.executable and option == "-m" and known


def run(
    command: Sequence[object],
    host: int,
    env: Mapping[str, str],
    files: tuple[int, int, int],
) -> Forked:
    """Start it in the namespaces of the process `host`; `files` become stdin, stdout, stderr."""
    told, tell = os.pipe()
    request = {"host": host, "command": [str(each) for each in command[2:]], "env": dict(env)}
    link = _forker()
    socket.send_fds(link, [json.dumps(request).encode()], [*files, tell])
    os.close(tell)
    return Forked(told)


@cache
def _forker() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=theirs.fileno(), start_new_session=True
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    readable, _, _ = select.select([ours], [], [], _READY_S * SLOWNESS)
    if not readable or ours.recv(16) != b"ready":
        raise BedError("the process that forks the testbed's programs does not start")
    return ours


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    link = socket.socket(fileno=os.dup(0))
    link.send(b"ready")
    while True:
        message, files, _, _ = socket.recv_fds(link, _MESSAGE_BYTES, 4)
        if not message:
            return
        request = json.loads(message)
        _prepare(request["command"][0])
        if os.fork() == 0:
            link.close()
            _become(request, files)
            return
        for each in files:
            os.close(each)


@cache
def _prepare(module: str) -> None:
    """Import what it will import, once."""
    program = f"{module}.__main__" if module in PROGRAMS else module
    importlib.import_module(program)
    del sys.modules[program]  # each runs it as its own
    for each in _BESIDES.get(module, ()):
        importlib.import_module(each)
    gc.collect()
    gc.freeze()  # these pages stay shared


def _become(request: dict[str, object], files: list[int]) -> None:
    """Enter the host, fork once more for its PID namespace, and run the program there."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    doors = [os.open(f"/proc/{request['host']}/ns/{each}", os.O_RDONLY) for each in _NAMESPACES]
    for door in doors:
        if libc.setns(door, 0):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(door)
    *standard, status = files
    child = os.fork()
    if child:
        os.write(status, b"%d\n" % child)
        for each in (0, 1, 2, *standard):
            os.close(each)
        _, ended = os.waitpid(child, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    os.close(status)
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    command: list[str] = request["command"]  # type: ignore[assignment]
    sys.argv = command
    time.tzset()
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
