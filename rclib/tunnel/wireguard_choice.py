"""Which WireGuard this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.wireguard_go import WireGuardGo, missing_for_wireguard_go
from rclib.tunnel.wireguard_kernel import KernelWireGuard
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.wireguard import WireGuard


def choose_wireguard(netlink: Netlink, prefix: str) -> WireGuard:
    """Take the kernel's WireGuard where there is one, else wireguard-go.

    To find out, an interface whose name starts with `prefix` is created and removed. Raises
    GateRefused, which with NO_WIREGUARD says what to install.
    """
    kernel = KernelWireGuard(netlink)
    if kernel.works(f"{prefix}-probe"):
        return kernel
    missing = missing_for_wireguard_go()
    if missing is None:
        return WireGuardGo(netlink)
    raise GateRefused(
        GateError.NO_WIREGUARD, f"no WireGuard on this machine: the kernel has none, and {missing}"
    )
