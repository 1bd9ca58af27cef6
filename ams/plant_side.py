"""Listening on the plant side only.

An address alone is no side: Linux answers for each of its addresses on every interface (RFC 1122,
section 3.3.4.2, calls that the weak model), so that whoever is next to the gateway on the internet
side could route the plant side's address there. Sockets that are bound to the address's interface
take nothing from another one.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import StartError, bind_error

if TYPE_CHECKING:
    from rclib.runtime.net import Endpoint, IpAddress

BACKLOG: Final = 128
_LOOPBACK: Final = "lo"
"""By it the gateway itself reaches its own addresses."""
_SIOCGIFCONF: Final = 0x8912  # netdevice(7); netlink is none of this program's address families
_IFREQ: Final = struct.Struct("16sHH4s16x")
_IFCONF: Final = struct.Struct("iP")
_MAX_ADDRESSES: Final = 256
_INET6: Final = Path("/proc/net/if_inet6")


def open_listeners(endpoint: Endpoint) -> list[socket.socket]:
    """Open what hears this endpoint from its own side; raises StartError."""
    if endpoint.host.is_loopback:
        return [_listen(endpoint, None)]
    interface = interface_of(endpoint.host)
    if interface is None:
        raise StartError(
            f"{endpoint.host} is no address of this machine; `listen` in ams.toml names the "
            "gateway's address on the plant side"
        )
    first = _listen(endpoint, interface)
    try:
        port = first.getsockname()[1]
        return [first, _listen(type(endpoint)(endpoint.host, port), _LOOPBACK)]
    except StartError:
        first.close()
        raise


def interface_of(address: IpAddress) -> str | None:
    """Which interface has this address; None: none."""
    found = _addresses_v6() if address.version == 6 else _addresses_v4()  # noqa: PLR2004 - IP versions
    return next((name for name, each in found if each == address), None)


def _listen(endpoint: Endpoint, interface: str | None) -> socket.socket:
    made = socket.socket(
        socket.AF_INET6 if endpoint.host.version == 6 else socket.AF_INET,  # noqa: PLR2004 - as above
        socket.SOCK_STREAM,
    )
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if interface is not None:
            # Without privileges from Linux 5.7 on.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        made.bind(endpoint.sockaddr)
        made.listen(BACKLOG)
    except OSError as exc:
        made.close()
        raise bind_error(exc, f"TCP {endpoint}") from None
    return made


def _addresses_v4() -> list[tuple[str, IpAddress]]:
    buffer = bytearray(_IFREQ.size * _MAX_ADDRESSES)
    place = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(
            asked, _SIOCGIFCONF, _IFCONF.pack(len(buffer), ctypes.addressof(place))
        )
    length, _ = _IFCONF.unpack(answer)
    return [
        (name.rstrip(b"\0").decode().partition(":")[0], ipaddress.IPv4Address(address))
        for name, _, _, address in _IFREQ.iter_unpack(bytes(buffer[:length]))
    ]


def _addresses_v6() -> list[tuple[str, IpAddress]]:
    try:
        lines = _INET6.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []  # a kernel without IPv6
    return [(line.split()[-1], ipaddress.IPv6Address(bytes.fromhex(line[:32]))) for line in lines]
