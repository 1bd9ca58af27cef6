"""A real systemd in namespaces of its own, with this project's units installed as packages do.

It has a PID, mount, network and cgroup namespace, this machine's files under a layer in memory,
and the programs in /opt/remoteconnect. No name is left behind: it ends when the pipe from the
building process closes, for whatever reason, and its cgroup is removed then.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from testbed.errors import BedError
from testbed.namespaces import child_of, enter
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYSTEMD: Final = Path("/lib/systemd/systemd")
PROGRAMS: Final = Path("/opt/remoteconnect")

_PROJECT: Final = Path(__file__).resolve().parent.parent
_UNIT_FILES: Final = _PROJECT / "systemd"
DAEMONS: Final = tuple(sorted(each.stem for each in _UNIT_FILES.glob("*.service")))
_START_S: Final = 20.0
_END_S: Final = 10.0
_COMMAND_S: Final = 60.0

# Arguments: a directory, and the script of the world. The cgroup is made from outside, so that
# inside it is the root.
_AROUND: Final = """
own=$1/cgroup/testbed-$$; mkdir "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$own"
echo $$ > "$own/cgroup.procs"
unshare --pid --fork --kill-child --cgroup --net --uts --ipc --mount --mount-proc \\
  sh -ec "$2" world "$1" &
world=$!
echo $$ > "$1/cgroup/cgroup.procs"
echo "$world"
cat > /dev/null || true
kill -KILL $(cat "/proc/$world/task/$world/children") || true
wait "$world" || true
find "$own" -depth -type d -exec rmdir {} \\;
"""

# Programs are where packages would have put them, with the Python that runs this, and nothing of
# them is under /home, /root or /tmp, which the units hide. Targets of a start are empty: none of
# the machine's own services is this world's business.
_WORLD: Final = """
opt=$1/opt; mkdir "$opt"
mount -t tmpfs -o mode=755 opt "$opt"
mkdir -p "$opt/python" "$opt/remoteconnect/bin" "$opt/remoteconnect/project" \
  "$opt/remoteconnect/lib/$PYTHON/site-packages"
mount --bind "$BASE" "$opt/python"
mount --bind "$PROJECT" "$opt/remoteconnect/project"
mount --bind "$LIBRARIES" "$opt/remoteconnect/lib/$PYTHON/site-packages"
echo "home = /opt/python/bin" > "$opt/remoteconnect/pyvenv.cfg"
ln -s "/opt/python/bin/$PYTHON" "$opt/remoteconnect/bin/python"
cp "$1"/programs/* "$opt/remoteconnect/bin"

layer=$1/layer; mkdir "$layer"
mount -t tmpfs -o mode=755 layer "$layer"
mkdir "$layer/etc" "$layer/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$layer/etc,workdir=$layer/work" etc /etc
mkdir /etc/remoteconnect
echo 'rcd:x:990:990::/nonexistent:/usr/sbin/nologin' >> /etc/passwd
echo 'remoteconnect:x:990:' >> /etc/group
mount -t tmpfs -o mode=755 units /etc/systemd/system
cp "$1"/units/* /etc/systemd/system
mount --rbind "$opt" /opt
for each in /run /tmp /var/lib /var/log; do mount -t tmpfs -o mode=755 world "$each"; done
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
ip link add lan0 type veth peer name plant0
ip address add 192.168.1.1/24 dev lan0
ip link set lan0 up
ip link set plant0 up
for each in all default lan0 plant0; do echo 0 > "/proc/sys/net/ipv4/conf/$each/forwarding"; done
cd /
exec env -i container=testbed PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=journal --show-status=no --unit=testbed.target
"""

# What Python's packaging would install, and one thing more: SIGUSR1 hangs the thread of the loop
# for good, as a call that never returns would.
_PROGRAM: Final = """\
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH={root}/project PYTHONDONTWRITEBYTECODE=1
exec {root}/bin/python -c '
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
sys.argv[0] = "{name}"
from {module} import {function}
sys.exit({function}())
' "$@"
"""
_NOTHING: Final = "[Unit]\nDescription=nothing of the machine's own\n"
_OWN_TARGET: Final = "[Unit]\nDescription=what the test starts\nAllowIsolate=yes\n"
_UNITS: Final = {
    "testbed.target": _OWN_TARGET,
    **dict.fromkeys(("sysinit.target", "basic.target", "network-online.target"), _NOTHING),
}


class ServiceManager:
    """One systemd, its units loaded and none started."""

    def __init__(self, directory: Path) -> None:
        for name in ("programs", "units"):
            (directory / name).mkdir()
        for name, text in _programs().items():
            path = directory / "programs" / name
            path.write_text(text)
            path.chmod(0o755)
        for unit in (
            *(_PROJECT / "systemd").glob("*.service"),
            *(_PROJECT / "systemd").glob("*.socket"),
        ):
            shutil.copy(unit, directory / "units")
        for name, text in _UNITS.items():
            (directory / "units" / name).write_text(text)
        self._errors = directory / "errors"
        with self._errors.open("w") as errors:
            self._around = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", _AROUND, "around", str(directory), _WORLD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **_places()},
                text=True,
                start_new_session=True,
            )
        try:
            self.pid = self._await_init()
            until(self._answers, _START_S, "systemd to answer")
        except BedError as error:
            self.close()
            said = self._errors.read_text().strip()
            raise BedError(f"systemd does not start in namespaces here: {error}; {said}") from None
        except BaseException:
            self.close()
            raise

    @property
    def root(self) -> Path:
        """Its file system, seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def run(
        self, *command: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the services, as root; with `check` a failure is a BedError."""
        done = subprocess.run(
            [*enter(self.pid, "mount", "pid", "net", "uts", "cgroup"), *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S * SLOWNESS,
            check=False,
            cwd="/",
        )
        if check and done.returncode:
            raise BedError(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr}")
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        return self.run("systemctl", *arguments, check=check).stdout.strip()

    def start(self, *units: str) -> None:
        """Start units and wait until they have said that they are ready."""
        done = self.run("systemctl", "start", *units, check=False)
        if done.returncode:
            journal = "\n".join(self.journal(unit) for unit in units)
            raise BedError(f"{done.stderr.strip()}\n{journal[-4000:]}")

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit as `systemctl show` spells them."""
        (properties,) = self.show_all((unit,), *names).values()
        return properties

    def show_all(self, units: Sequence[str], *names: str) -> dict[str, dict[str, str]]:
        """Return properties of several units, all as they are at one moment."""
        listed = self.systemctl("show", *units, f"--property={','.join(names)}")
        blocks = [block.splitlines() for block in listed.split("\n\n")]
        return {
            unit: dict(line.split("=", 1) for line in block)
            for unit, block in zip(units, blocks, strict=True)
        }

    def journal(self, unit: str) -> str:
        """What the unit and systemd have said about it."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of its file system, readable by everybody."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)

    def read(self, path: str) -> str:
        return (self.root / path.removeprefix("/")).read_text()

    def override(self, unit: str, text: str) -> None:
        """Change a unit by a drop-in file."""
        self.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
        self.systemctl("daemon-reload")

    def close(self) -> None:
        """End it with all services, and wait until they are gone."""
        for pipe in (self._around.stdin, self._around.stdout):
            if pipe is not None:
                pipe.close()
        self._around.wait(_END_S * SLOWNESS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await_init(self) -> int:
        assert self._around.stdout is not None  # noqa: S101 -- it was asked for
        readable, _, _ = select.select([self._around.stdout], [], [], _START_S * SLOWNESS)
        said = self._around.stdout.readline().strip() if readable else ""
        if not said.isdecimal():
            raise BedError("no answer")
        return until(lambda: child_of(int(said)), _START_S, "systemd to appear in /proc")

    def _answers(self) -> bool:
        if self._around.poll() is not None:
            raise BedError("it has ended")
        return self.run("systemctl", "is-active", "testbed.target", check=False).returncode == 0


def why_not() -> str | None:
    """One sentence why systemd cannot run in namespaces here; None: it can, or so it seems."""
    if os.geteuid() != 0:
        return "a systemd of its own needs root; run it with sudo"
    if not SYSTEMD.exists():
        return "systemd is missing; run: apt-get install systemd"
    tried = subprocess.run(
        ["unshare", "--mount", "--cgroup", "mount", "-t", "cgroup2", "cgroup2", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no cgroup2 here: {tried.stderr.strip()}" if tried.returncode else None


def _places() -> Mapping[str, str]:
    libraries = Path(sys.prefix) / "lib" / _python() / "site-packages"
    return {
        "PROJECT": str(_PROJECT),
        "BASE": sys.base_prefix,
        "LIBRARIES": str(libraries),
        "PYTHON": _python(),
    }


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _programs() -> dict[str, str]:
    """Every command of pyproject.toml."""
    scripts = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    programs = {}
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        programs[name] = _PROGRAM.format(root=PROGRAMS, name=name, module=module, function=function)
    return programs
