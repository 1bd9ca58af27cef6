"""Settings of network interfaces under /proc/sys/net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_errors import system_fault
from rclib.tunnel.gate_plan import IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable

SYSCTL: Final = Path("/proc/sys/net")

_NO_LINK_LOCAL: Final = "1"  # IN6_ADDR_GEN_MODE_NONE


def write_setting(path: Path, value: str, what: str) -> None:
    """Raises GateRefused, which says `what` did not work."""
    try:
        path.write_text(value)
    except OSError as exc:
        raise system_fault(what, exc) from exc


def limit_ipv6(interface: str, versions: Iterable[int]) -> None:
    """Keep a tunnel that is still down from having more IPv6 addresses than it is given."""
    settings = SYSCTL / "ipv6/conf" / interface
    if not settings.exists():
        return  # the kernel has no IPv6
    what = f"limiting IPv6 on {interface}"
    if IPV6 in versions:
        write_setting(settings / "addr_gen_mode", _NO_LINK_LOCAL, what)
    else:
        write_setting(settings / "disable_ipv6", "1", what)
