"""Per-interface IP forwarding: on only where and while sessions need it.

IPv4 is forwarded if the interface a packet came in by says so. IPv6 is forwarded if the whole
machine does, which would also change how it learns its own addresses; kernels from 6.17 on know
`force_forwarding` per interface, and that is what is used. On older ones IPv6 devices can be
reached only where the administrator made the machine an IPv6 router.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rcd.gate.names import SYSCTL, forwarding_switch
from rclib.tunnel.gate_errors import GateRefused, system_fault
from rclib.tunnel.gate_plan import IPV4, IPV6
from rclib.tunnel.gate_sysctl import write_setting
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_WHOLE_MACHINE_V6: Final = SYSCTL / "ipv6/conf/all/forwarding"
_WHOLE_MACHINE: Final = "all"
_OFF: Final = "0"


def forwards(version: int, interface: str) -> bool:
    """Whether packets that come in by this interface may leave by another."""
    if version == IPV6 and _read(_WHOLE_MACHINE_V6) != _OFF:
        return True
    return _read(forwarding_switch(version, interface)) != _OFF


def switch(version: int, interface: str, *, on: bool) -> None:
    """Raises GateRefused: where it is not there or cannot be written, nothing is forwarded."""
    path = forwarding_switch(version, interface)
    if version == IPV6 and not path.exists():
        raise GateRefused(
            GateError.SYSTEM,
            "this kernel forwards IPv6 for the whole machine or not at all; to reach IPv6 devices "
            "make the gateway an IPv6 router (net.ipv6.conf.all.forwarding=1, accept_ra=2 on its "
            "WAN interface, and routes_for_plant = true in gate.toml), or run a kernel from 6.17 "
            "on",
        )
    write_setting(path, "1" if on else _OFF, f"switching forwarding of {interface} (IPv{version})")


def beside(ours: Collection[tuple[int, str]]) -> tuple[Path, ...]:
    """Return the switches that are on and not `ours`; the whole machine's first."""
    whole = [_WHOLE_MACHINE_V6, forwarding_switch(IPV4, _WHOLE_MACHINE)]
    own = {forwarding_switch(version, interface) for version, interface in ours}
    each = [
        switch
        for version in (IPV4, IPV6)
        for switch in SYSCTL.glob(str(forwarding_switch(version, "*").relative_to(SYSCTL)))
    ]
    return tuple(
        path for path in dict.fromkeys((*whole, *each)) if path not in own and _read(path) != _OFF
    )


def switch_off(paths: Collection[Path]) -> None:
    """Raises GateRefused."""
    for path in paths:
        if path.exists():
            write_setting(path, _OFF, f"switching {path} off")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return _OFF
    except OSError as exc:
        raise system_fault(f"reading {path}", exc) from exc
