"""Debian's kernel and a static busybox, unpacked into a directory of the project.

Nothing is installed: the packages are downloaded by `apt-get download` and unpacked by `dpkg -x`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed.errors import BedError

CACHE: Final = Path(__file__).resolve().parents[2] / ".vm"
"""Ignored by git; `make clean` removes it, and with it an old kernel."""

# The kernel for virtual machines: small, and it has WireGuard, netem, virtiofs and device mapper.
KERNEL: Final = "linux-image-cloud-amd64"
BUSYBOX: Final = "busybox-static"

_CONCRETE: Final = "linux-image-"
_DOWNLOAD_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a machine boots."""

    release: str
    """As `uname -r` will say."""
    image: Path
    modules: Path
    """The directory lib/modules/RELEASE, indexed by depmod."""
    busybox: Path


def kernel() -> Kernel:
    """Return the cached kernel, fetched first if need be; BedError says what is missing."""
    found = _cached()
    if found is not None:
        return found
    for program, package in (("apt-get", "apt"), ("dpkg", "dpkg")):
        if shutil.which(program) is None:
            raise BedError(
                f"the kernel of the virtual machine comes from Debian, and {program} is missing "
                f"here; run this on Debian (package {package})"
            )
    print(f"vm: fetching {KERNEL} and {BUSYBOX} from Debian into {CACHE}", flush=True)
    packages = [_concrete_package(), BUSYBOX]
    unfinished = CACHE.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        # apt's own user cannot write here, and says so at length.
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages], unfinished)
        for archive in unfinished.glob("*.deb"):
            _run(["dpkg", "-x", str(archive), "."], unfinished)
            archive.unlink()
        (release,) = (each.name for each in (unfinished / "lib/modules").iterdir())
        _run([str(unfinished / "bin/busybox"), "depmod", "-b", ".", release], unfinished)
        shutil.rmtree(CACHE, ignore_errors=True)
        unfinished.rename(CACHE)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    found = _cached()
    if found is None:
        raise BedError(f"{packages[0]} brings no kernel as expected; see {CACHE}")
    return found


def _cached() -> Kernel | None:
    for image in CACHE.glob("boot/vmlinuz-*"):
        release = image.name.removeprefix("vmlinuz-")
        modules = CACHE / "lib/modules" / release
        if (modules / "modules.dep").exists():
            return Kernel(release, image, modules, CACHE / "bin/busybox")
    return None


def _concrete_package() -> str:
    """Return the package the meta package stands for today."""
    found = _dependency()
    if found is None and os.geteuid() == 0:
        _run(["apt-get", "-q", "update"], Path.cwd())
        found = _dependency()
    if found is None:
        raise BedError(
            f"apt knows no package {KERNEL}, so there is no kernel to boot; on Debian (amd64) run: "
            "apt-get update"
        )
    return found


def _dependency() -> str | None:
    said = subprocess.run(
        ["apt-cache", "depends", KERNEL],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    words = said.stdout.split()
    return next((w for w in words if w.startswith(_CONCRETE) and w != KERNEL), None)


def _run(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BedError(f"{' '.join(command)} did not end within {_DOWNLOAD_S:g} s") from None
    if done.returncode:
        raise BedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
