"""Per-interface IP forwarding: on only where and while sessions need it.

IPv4 is forwarded if the interface a packet came in by says so. IPv6 is forwarded if the whole
machine does, which would also change how it learns its own addresses; kernels from 6.17 on know
`force_forwarding` per interface, and that is what is used. On older ones IPv6 devices can be
reached only where the administrator made the machine an IPv6 router.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_errors import GateRefused, system_fault
from rclib.tunnel.gate_plan import IPV4, IPV6
from rclib.tunnel.gate_sysctl import SYSCTL, write_setting
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from pathlib import Path

_SWITCHES: Final = {IPV4: "forwarding", IPV6: "force_forwarding"}
_OFF: Final = "0"


def forwards(version: int, interface: str) -> bool:
    """Whether packets that come in by this interface may leave by another."""
    if version == IPV6 and _read(SYSCTL / "ipv6/conf/all/forwarding") != _OFF:
        return True
    return _read(_switch(version, interface)) != _OFF


def switch(version: int, interface: str, *, on: bool) -> None:
    """Raises GateRefused: where it is not there or cannot be written, nothing is forwarded."""
    path = _switch(version, interface)
    if version == IPV6 and not path.exists():
        raise GateRefused(
            GateError.SYSTEM,
            "this kernel forwards IPv6 for the whole machine or not at all; to reach IPv6 devices "
            "make the gateway an IPv6 router (net.ipv6.conf.all.forwarding=1, and accept_ra=2 on "
            "its WAN interface), or run a kernel from 6.17 on",
        )
    write_setting(path, "1" if on else _OFF, f"switching forwarding of {interface} (IPv{version})")


def switch_off_if_there(version: int, interface: str) -> None:
    """Take forwarding back from an interface that may have vanished meanwhile."""
    if _switch(version, interface).exists():
        switch(version, interface, on=False)


def _switch(version: int, interface: str) -> Path:
    return SYSCTL / f"ipv{version}" / "conf" / interface / _SWITCHES[version]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return _OFF
    except OSError as exc:
        raise system_fault(f"reading {path}", exc) from exc
