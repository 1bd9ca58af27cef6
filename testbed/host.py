"""A host of the testbed: run programs in it, know its addresses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from testbed import forked
from testbed.errors import BedError
from testbed.namespaces import enter
from testbed.process import Popen, Process
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.topology import Address, AddressOnLink, HostPlan

Stream: TypeAlias = int | IO[bytes] | IO[str] | None

_REAP_S = 10.0
_PROJECT = Path(__file__).resolve().parent.parent
# What points a program at services of the machine it does not live on.
_FOREIGN_ENVIRONMENT = {
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
}


class Host:
    """One host. Programs started here end with the testbed at the latest."""

    def __init__(self, plan: HostPlan, pid: int, directory: Path) -> None:
        self.name = plan.name
        self.role = plan.role
        self.plan = plan
        self.pid = pid
        """A process that does nothing but stand for the host's namespaces."""
        self._directory = directory
        self._processes: list[Process] = []

    @property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.plan.interfaces)

    @property
    def address(self) -> Address:
        """The first address of the first interface; on the gateway that is its WAN side."""
        return self.addresses[0].ip

    @property
    def addresses(self) -> tuple[AddressOnLink, ...]:
        """All addresses, in the order of the interfaces."""
        return tuple(address for each in self.plan.interfaces for address in each.addresses)

    def addresses_on(self, interface: str) -> tuple[AddressOnLink, ...]:
        return tuple(self.plan.interface(interface).addresses)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        timeout_s: float = 30.0,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end and return its text output, as subprocess.run does.

        With `check` a failure becomes a BedError that carries stderr. A program that outlives the
        timeout is killed and becomes a BedError.
        """
        if not stdin and forked.can_run(command, env or {}):
            return self._run_forked(command, timeout_s, env, check=check)
        popen = self._start(command, subprocess.PIPE, subprocess.PIPE, env)
        process = Process(popen, _command_name(command), Path(os.devnull), Path(os.devnull))
        try:
            output, errors = popen.communicate(stdin, timeout_s * SLOWNESS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            popen.communicate()
            raise BedError(f"{self.name}: {command} still ran after {timeout_s:g} s") from None
        return self._done(command, popen.returncode, output, errors, check=check)

    def popen(
        self,
        command: Sequence[str | Path],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program; its output goes to files under the bed's logs."""
        name = f"{self.name}-{name or _command_name(command)}"
        number = sum(process.name.startswith(name) for process in self._processes)
        stem = self._directory / "logs" / (f"{name}.{number}" if number else name)
        out, log = stem.with_suffix(stem.suffix + ".out"), stem.with_suffix(stem.suffix + ".log")
        with out.open("w") as stdout, log.open("w") as stderr:
            if forked.can_run(command, env or {}):
                popen: Popen = self._fork(command, stdout, stderr, env)
            else:
                popen = self._start(command, stdout, stderr, env)
        process = Process(popen, name, out, log)
        self._processes.append(process)
        return process

    def tool(self, name: str, *arguments: str) -> Process:
        """Start one of `testbed.tools` and wait until it says that it is ready."""
        process = self.popen([sys.executable, "-m", f"testbed.tools.{name}", *arguments], name=name)
        process.wait_message("ready")
        return process

    def reap(self) -> None:
        """Collect what ended with the testbed."""
        for process in self._processes:
            process.wait(_REAP_S)

    def wait_port(self, port: int, timeout_s: float = 30.0) -> None:
        """Wait until something listens on this TCP port of the host."""
        until(lambda: self._listens(port), timeout_s, f"TCP port {port} of {self.name}")

    def _listens(self, port: int) -> bool:
        done = self.run(["ss", "-Hltn", f"sport = :{port}"])
        return bool(done.stdout.strip())

    def _run_forked(
        self,
        command: Sequence[str | Path],
        timeout_s: float,
        env: Mapping[str, str] | None,
        *,
        check: bool,
    ) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            process = self._fork(command, output, errors, env)
            try:
                status = process.wait(timeout_s * SLOWNESS)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                raise BedError(f"{self.name}: {command} still ran after {timeout_s:g} s") from None
            output.seek(0)
            errors.seek(0)
            return self._done(command, status, output.read(), errors.read(), check=check)

    def _fork(
        self,
        command: Sequence[str | Path],
        stdout: IO[str],
        stderr: IO[str],
        env: Mapping[str, str] | None,
    ) -> forked.Forked:
        with Path(os.devnull).open() as stdin:
            files = (stdin.fileno(), stdout.fileno(), stderr.fileno())
            return forked.run(command, self.pid, _environment(env), files)

    def _done(
        self,
        command: Sequence[str | Path],
        status: int,
        output: str,
        errors: str,
        *,
        check: bool,
    ) -> subprocess.CompletedProcess[str]:
        if check and status:
            raise BedError(f"{self.name}: {command} ended with {status}: {errors.strip()}")
        return subprocess.CompletedProcess(command, status, output, errors)

    def _start(
        self,
        command: Sequence[str | Path],
        stdout: Stream,
        stderr: Stream,
        env: Mapping[str, str] | None,
    ) -> subprocess.Popen[str]:
        inside = [*enter(self.pid, "mount", "pid", "net", "uts"), *map(str, command)]
        return subprocess.Popen(
            inside,
            stdin=subprocess.PIPE if stdout == subprocess.PIPE else subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
            text=True,
            start_new_session=True,
        )


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in _FOREIGN_ENVIRONMENT}
    paths = [str(_PROJECT), *filter(None, [env.get("PYTHONPATH")])]
    path = env.get("PATH", "/usr/bin:/bin")
    return {
        **env,
        "PYTHONPATH": os.pathsep.join(paths),
        "PATH": f"{path}:/usr/sbin:/sbin",
        **(extra or {}),
    }


def _command_name(command: Sequence[str | Path]) -> str:
    return Path(str(command[0])).name
