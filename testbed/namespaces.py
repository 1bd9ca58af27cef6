"""The testbed's walls: one init process, and one holder process per host.

Nothing here has a name that could be left behind. All namespaces live only through processes of
one PID namespace, and its init ends when the pipe from the building process closes, for whatever
reason: a SIGKILL of the builder takes every program, interface and rule with it.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import BedError
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_S = 10.0
_CLOSE_S = 10.0

_INIT = Path(__file__).with_name("init.py")

# Runs inside the host's new namespaces. Arguments: host name, forwarding (0 or 1), then pairs of
# file and mount point. A private /run gives every host its own WireGuard sockets (/run/wireguard)
# and hides resolver daemons of the machine. Settings that a network namespace inherits from the
# machine are set, not assumed: a Docker host forwards and filters bridges by default.
_HOLDER = """
hostname "$(echo "$1" | tr _ -)"; forward=$2; shift 2
mount -t tmpfs -o mode=755 testbed /run
mkdir /run/wireguard /run/lock
while [ $# -gt 0 ]; do
  case "$2" in /run/*) mkdir -p "${2%/*}"; : > "$2";; esac
  mount --bind "$1" "$2"; shift 2
done
cd /proc/sys/net
echo "$forward" > ipv4/ip_forward
echo "$forward" > ipv6/conf/all/forwarding
for each in all default; do echo 0 > ipv4/conf/$each/rp_filter; done
for each in bridge/bridge-nf-call-*tables; do [ ! -w "$each" ] || echo 0 > "$each"; done
ip link set lo up
echo ready
exec sleep infinity
"""


def in_user_namespace() -> bool:
    """Without root the testbed lives in a user namespace in which the caller is root."""
    return os.geteuid() != 0


def enter(pid: int, *namespaces: str) -> list[str]:
    """Arguments before a command that run it in namespaces of the process `pid`."""
    user = ("--user", "--preserve-credentials") if in_user_namespace() else ()
    return ["nsenter", f"--target={pid}", *user, *(f"--{each}" for each in namespaces)]


def unshare_init() -> list[str]:
    """Arguments before a command that make it the init of a new, empty world."""
    user = ("--user", "--map-root-user") if in_user_namespace() else ()
    world = ("--mount", "--pid", "--fork", "--kill-child", "--net", "--mount-proc")
    return ["unshare", *user, *world]


def child_of(process: subprocess.Popen[str] | int) -> int | None:
    """The program behind nsenter or unshare (or its pid), which fork to enter a PID namespace."""
    pid = process if isinstance(process, int) else process.pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return None
    return int(children.split()[0]) if children else None


class Init:
    """PID 1 of the testbed. Removes `directory` at the end if told so, whoever ends it."""

    def __init__(self, directory: Path, *, remove_directory: bool) -> None:
        self._errors = directory / "logs" / "init.err"
        argument = str(directory) if remove_directory else ""
        self._process = _start(
            [*unshare_init(), sys.executable, "-IS", _INIT, argument], self._errors
        )
        self._holders: list[subprocess.Popen[str]] = []
        self.pid = _await_ready(self._process, self._errors, "the testbed's init")

    def start_holders(self, hosts: Sequence[tuple[str, bool]], etc: Path) -> dict[str, int]:
        """Start a holder per (name, forwards); its pid stands for the host's namespaces.

        `etc` holds `NAME.hosts` for each host and an empty `resolv.conf`.
        """
        started = [self._start_holder(name, forwards=forwards, etc=etc) for name, forwards in hosts]
        self._holders = started
        return {
            name: _await_ready(process, self._errors, f"host {name}")
            for (name, _), process in zip(hosts, started, strict=True)
        }

    def close(self) -> None:
        """End every process of the testbed and wait until all are gone."""
        everybody = (self._process, *self._holders)
        for process in everybody:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        for process in everybody:
            process.wait(_CLOSE_S * SLOWNESS)

    def _start_holder(self, name: str, *, forwards: bool, etc: Path) -> subprocess.Popen[str]:
        mounts: list[str] = []
        for file, target in (
            (etc / f"{name}.hosts", "/etc/hosts"),
            (etc / "resolv.conf", "/etc/resolv.conf"),
        ):
            # A mount follows symbolic links; resolv.conf often points into /run.
            real = os.path.realpath(target)
            if real.startswith("/run/") or Path(real).exists():
                mounts += [str(file), real]
        return _start(
            [
                *enter(self.pid, "mount", "pid"),
                *("unshare", "--net", "--mount", "--uts", "sh", "-ec", _HOLDER, "holder"),
                *(name, str(int(forwards)), *mounts),
            ],
            self._errors,
        )


def _start(command: Sequence[str | Path], errors: Path) -> subprocess.Popen[str]:
    with errors.open("a") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # Ctrl-C is for the builder, which then closes in order
        )


def _await_ready(process: subprocess.Popen[str], errors: Path, what: str) -> int:
    if process.stdout is None:
        raise AssertionError("holders are started with a pipe; see _start()")
    readable, _, _ = select.select([process.stdout], [], [], _START_S * SLOWNESS)
    if not readable or process.stdout.readline() != "ready\n":
        reason = errors.read_text().strip() or "no answer"
        raise BedError(
            f"cannot start {what}: {reason}; `python -m testbed check` says what is missing here"
        )
    return until(lambda: child_of(process), _START_S, f"{what} to appear in /proc")
