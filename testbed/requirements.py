"""What the testbed needs of this machine, in one place: program → Debian package."""

from __future__ import annotations

import os
import shutil
import subprocess

from testbed.namespaces import unshare_init

PROGRAMS = {
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ss": "iproute2",
    "tcpdump": "tcpdump",
    "unshare": "util-linux",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def missing() -> list[str]:
    """Debian packages that bring what is not here."""
    absent = (p for p in PROGRAMS if shutil.which(p, path=SYSTEM_PATH) is None)
    return sorted({PROGRAMS[program] for program in absent})


def why_not() -> str | None:
    """One sentence why this machine cannot run a testbed; None: it can."""
    packages = missing()
    if packages:
        return f"programs are missing; run: apt-get install {' '.join(packages)}"
    tried = subprocess.run(
        [*unshare_init(), "true"], capture_output=True, text=True, check=False, timeout=20
    )
    if tried.returncode:
        return f"no namespaces here: {tried.stderr.strip()}; run as root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened; run: modprobe tun, or run as root"
    return None
