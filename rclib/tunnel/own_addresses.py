"""This machine's own addresses towards the internet, and word when they change. Linux.

Only the interfaces the default routes lead to count: a plant's machine network and the tunnels
themselves are no way to a peer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ifaddr

from rclib.tunnel.gate_plan import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.tunnel.gate_plan import IPNetwork
    from rclib.wire.session import IPAddress

TUNNEL_PREFIX: Final = "rc"
"""Both gates' interfaces start like this."""

# Documentation addresses (RFC 5737, RFC 3849): nobody is there, and nothing is sent.
_FAR: Final = {IPV4: "192.0.2.1", IPV6: "2001:db8::1"}
_FAMILIES: Final = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_SETTLE_S: Final = 0.1
"""A change of networks is a burst of messages; the last ones make it usable."""
# Linux names that the socket module does not have.
_NETLINK_ROUTE: Final = 0
_GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400  # addresses and routes, IPv4 and IPv6
_MESSAGE_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """What leads out of this machine."""

    addresses: tuple[IPAddress, ...]
    """Own addresses on the interfaces of the default routes."""
    elsewhere: tuple[IPNetwork, ...]
    """Networks of all other interfaces: no peer of ours is to be looked for there."""


def read_own_addresses() -> OwnAddresses:
    """Read the present state; blocks for a millisecond."""
    sources = {address for version in _FAR if (address := source_towards(_FAR[version]))}
    addresses: list[IPAddress] = []
    elsewhere: list[IPNetwork] = []
    for adapter in ifaddr.get_adapters():
        found = [
            ipaddress.ip_interface((each.ip if isinstance(each.ip, str) else each.ip[0], length))
            for each in adapter.ips
            if (length := each.network_prefix) is not None
        ]
        is_uplink = any(str(each.ip) in sources for each in found)
        if is_uplink and not adapter.name.startswith(TUNNEL_PREFIX):
            addresses += [each.ip for each in found if not each.is_link_local]
        else:
            elsewhere += [each.network for each in found]
    return OwnAddresses(tuple(addresses), tuple(elsewhere))


def source_towards(address: str) -> str | None:
    """Return which own address packets to `address` would carry; None: there is no way."""
    version = ipaddress.ip_address(address).version
    with socket.socket(_FAMILIES[version], socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


class NetworkWatch:
    """Calls back, once per burst, when what leads out of this machine has changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._own = read_own_addresses()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
        self._socket.setblocking(False)  # noqa: FBT003 - the name of the call says it
        self._socket.bind((0, _GROUPS))
        self._loop.add_reader(self._socket.fileno(), self._drain)

    def close(self) -> None:
        """Idempotent."""
        if self._socket.fileno() != -1:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        if self._timer is not None:
            self._timer.cancel()

    def _drain(self) -> None:
        # What has changed is looked up afterwards; an overflow says as much as a message.
        while True:
            try:
                self._socket.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                continue
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_SETTLE_S, self._compare)

    def _compare(self) -> None:
        # A tunnel that comes or goes, ours or another, changes routes as well.
        own = read_own_addresses()
        if own.addresses != self._own.addresses:
            self._own = own
            self._on_change()
