"""One virtual machine: QEMU without hardware acceleration, and this machine's files, read-only.

It has a kernel of its own and no network. The root is shared by virtiofsd from a mount namespace
in which it is read-only; what the guest writes stays in its memory. Both processes die with the
one that started them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

from testbed.errors import BedError
from testbed.vm import initramfs
from testbed.vm.packages import kernel
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QEMU: Final = "qemu-system-x86_64"
CONSOLE_LINES: Final = 40
NICENESS: Final = -20
"""Ahead of whatever else runs here: its clock goes on while it waits for a processor."""

_VIRTIOFSD: Final = (
    "/usr/libexec/virtiofsd",  # Debian 13, Ubuntu 24.04
    "/usr/lib/qemu/virtiofsd",  # Debian 12: with QEMU itself
)
_SOCKET_S: Final = 10.0
_END_S: Final = 10.0
_PROJECT: Final = Path(__file__).resolve().parents[2]

# Arguments: directory, socket, virtiofsd with its arguments. Every file system is bound alone, so
# that neither /proc nor /dev of this machine are seen in the guest.
_SHARE: Final = """
root=$1; shift
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$1"
  mount -o remount,bind,ro "$root$1"
  shift
done
shift
exec "$@"
"""

# Arguments: niceness, program with its arguments. Linux compares sessions first (autogroup), then
# the processes of one. Where nobody may be put ahead, nobody is.
_AHEAD: Final = """
{ echo "$0" > /proc/self/autogroup; } 2>/dev/null
exec nice -n "$0" "$@"
"""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the machine has."""

    cpus: int = 2
    memory_mib: int = 2560
    disks: tuple[str, ...] = ()
    """What QEMU calls them, a raw image or a `VolatileDisk`'s URL: /dev/vda and so on."""


class Machine:
    """Boots at once and runs one command; ends with the `with` block at the latest."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        hardware: Hardware | None = None,
        environment: Mapping[str, str] | None = None,
        stdout: int | IO[bytes] | None = None,
    ) -> None:
        """Start `command`, found on PATH, as root in this project's directory.

        Its stdout and stderr go to `stdout`, as subprocess understands it.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="vm-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._console = self._directory / "console"
        self._status = self._directory / "status"
        try:
            self._boot(command, hardware or Hardware(), environment or {}, stdout)
        except BaseException:
            self.close()
            raise

    @property
    def qemu(self) -> subprocess.Popen[bytes]:
        """The machine as a process; killing it is what a power cut is to a real one."""
        return self._processes[-1]

    def wait(self, timeout_s: float) -> int:
        """Return the command's exit status; BedError carries the end of the kernel's console."""
        try:
            self.qemu.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.cut_power()
            raise BedError(
                f"the virtual machine was not done after {timeout_s:g} s and was stopped; "
                f"the end of its console:\n{self.console()}"
            ) from None
        said = self._status.read_text().strip()
        if not said.isdigit():
            raise BedError(
                f"the virtual machine ended before its command; the end of its console:\n"
                f"{self.console()}"
            )
        return int(said)

    def cut_power(self) -> None:
        """End it at once: what the guest had only in its memory is lost."""
        self.qemu.kill()
        self.qemu.wait(_END_S)

    def console(self) -> str:
        """Return the last lines of the guest's kernel."""
        if not self._console.exists():
            return "(nothing)"
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-CONSOLE_LINES:])

    def close(self) -> None:
        """Leave nothing; idempotent."""
        for process in reversed(self._processes):
            process.kill()
            process.wait(_END_S)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _boot(
        self,
        command: Sequence[str],
        hardware: Hardware,
        environment: Mapping[str, str],
        stdout: int | IO[bytes] | None,
    ) -> None:
        reason = why_not()
        if reason is not None:
            raise BedError(reason)
        booted = kernel()
        archive = self._directory / "initramfs"
        archive.write_bytes(initramfs.build(booted, _script(command, environment)))
        self._share()
        arguments = _qemu(self._directory, booted.image, archive, hardware)
        self._spawn(arguments, stdout, None)

    def _share(self) -> None:
        """Start virtiofsd and wait for its socket."""
        root, socket = self._directory / "root", self._directory / "fs.sock"
        root.mkdir()
        program = next(each for each in _VIRTIOFSD if Path(each).exists())
        if program.startswith("/usr/lib/qemu"):
            options = [f"--socket-path={socket}", "-f", "-o", "log_level=err,cache=always"]
            options += ["-o", f"sandbox=chroot,source={root}"]
        else:
            options = [f"--socket-path={socket}", "--cache=always", "--sandbox=none"]
            options += ["--log-level=error", f"--shared-dir={root}"]
        share = ["unshare", "--mount", "sh", "-ec", _SHARE, "share", str(root)]
        with (self._directory / "virtiofsd").open("wb") as log:
            self._spawn([*share, *_file_systems(), "--", program, *options], log, log)
        daemon = self._processes[-1]
        until(
            lambda: socket.exists() or daemon.poll() is not None, _SOCKET_S, "virtiofsd to be ready"
        )
        if daemon.poll() is not None:
            said = (self._directory / "virtiofsd").read_text().strip()
            raise BedError(f"virtiofsd, which shares this machine's files, does not start: {said}")

    def _spawn(
        self,
        command: Sequence[str],
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
    ) -> None:
        ahead = ["sh", "-c", _AHEAD, str(NICENESS)]
        self._processes.append(
            subprocess.Popen(
                [*ahead, "setpriv", "--pdeathsig", "KILL", *command],
                start_new_session=True,
                stdin=subprocess.PIPE,  # QEMU: with its end, the guest's channel would close
                stdout=stdout,
                stderr=stderr,
            )
        )


def why_not() -> str | None:
    """One sentence why this machine cannot run a virtual one; None: it can, or so it seems."""
    if os.geteuid() != 0:
        return "sharing this machine's files with a virtual one needs root; run it with sudo"
    if shutil.which(QEMU) is None:
        return f"{QEMU} is missing; run: apt-get install qemu-system-x86"
    if not any(Path(each).exists() for each in _VIRTIOFSD):
        return "virtiofsd is missing; run: apt-get install virtiofsd"
    return None


def _script(command: Sequence[str], environment: Mapping[str, str]) -> str:
    settings = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **environment,
    }
    exports = (f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    return "\n".join([*exports, f"cd {shlex.quote(str(_PROJECT))}", shlex.join(command), ""])


def _file_systems() -> list[str]:
    """Mount points of what the guest needs: the system, this project and its Python."""
    needed = ("/", "/usr", str(_PROJECT), sys.prefix, sys.base_prefix)
    points = {_mount_point(Path(each).resolve()) for each in needed}
    return sorted(str(each) for each in points)


def _mount_point(path: Path) -> Path:
    return path if path.is_mount() else _mount_point(path.parent)


def _qemu(directory: Path, image: Path, archive: Path, hardware: Hardware) -> list[str]:
    memory = f"memory-backend-memfd,id=memory,size={hardware.memory_mib}M,share=on"
    # panic=-1 and -no-reboot: a kernel that gives up ends the process. Not the TSC: on a loaded
    # machine it is measured wrongly at boot, and the guest's seconds are a fraction of ours.
    kernel_line = "console=ttyS0 panic=-1 loglevel=5 mitigations=off no_timer_check tsc=unstable"
    arguments = [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(hardware.cpus)),
        *("-machine", "q35,memory-backend=memory", "-m", f"{hardware.memory_mib}M"),
        *("-object", memory),
        *("-kernel", str(image), "-initrd", str(archive), "-append", kernel_line),
        *("-serial", f"file:{directory / 'console'}"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", "stdio,id=output,signal=off"),
        *("-device", "virtserialport,nr=1,chardev=output"),
        *("-chardev", f"file,id=status,path={directory / 'status'}"),
        *("-device", "virtserialport,nr=2,chardev=status"),
        *("-chardev", f"socket,id=files,path={directory / 'fs.sock'}"),
        *("-device", "vhost-user-fs-pci,chardev=files,tag=host"),
        *("-device", "virtio-rng-pci"),
    ]
    for number, disk in enumerate(hardware.disks):
        # Not `writeback`: what the guest has not flushed may be lost with the power.
        drive = f"file={disk},format=raw,if=none,id=disk{number},cache=none"
        arguments += ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number}"]
    return arguments
