"""The UDP sockets: opened here or handed over by systemd, always of one family and non-blocking."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import StartError, bind_error
from rclib.runtime.net import Endpoint, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IPV6: Final = 6
FIRST_INHERITED_FD: Final = 3  # sd_listen_fds(3)

# Linux; Python's socket module does not name them.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")
_MEMINFO_DROPS: Final = 8


def inherited_sockets(environment: Mapping[str, str], process_id: int) -> list[socket.socket]:
    """Take over what systemd bound for this process; raises StartError for what is not UDP."""
    if environment.get("LISTEN_PID") != str(process_id):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    sockets = [socket.socket(fileno=FIRST_INHERITED_FD + index) for index in range(count)]
    for each in sockets:
        if each.family not in (socket.AF_INET, socket.AF_INET6) or each.type != socket.SOCK_DGRAM:
            raise StartError(
                "systemd handed over a socket that is not UDP; "
                "use ListenDatagram= with address and port in stund.socket"
            )
        each.settimeout(0)
    return sockets


def open_sockets(listen: Sequence[Endpoint], *, shared: bool) -> list[socket.socket]:
    """Bind every address, or none; raises StartError.

    `shared` sockets let other processes of the same user bind the same addresses, and the
    kernel spreads the clients over them.
    """
    with ExitStack() as undo:
        sockets = [undo.enter_context(_open(endpoint, shared=shared)) for endpoint in listen]
        undo.pop_all()
    return sockets


def size_buffers(sock: socket.socket, wanted: int) -> tuple[int, int]:
    """Ask for that many bytes each way; returns what receiving and sending got.

    Beyond the system's limit only where the process may (CAP_NET_ADMIN).
    """
    sizes = []
    for forced, ordinary in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, wanted)
        except OSError:  # not permitted, or not Linux
            sock.setsockopt(socket.SOL_SOCKET, ordinary, wanted)
        sizes.append(sock.getsockopt(socket.SOL_SOCKET, ordinary))
    return sizes[0], sizes[1]


def receive_drops(sock: socket.socket) -> int:
    """Count the datagrams the kernel dropped since the socket was bound: its queue was full."""
    try:
        state = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:  # not Linux
        return 0
    return int(_MEMINFO.unpack(state)[_MEMINFO_DROPS])


def endpoints_of(sockets: Sequence[socket.socket]) -> tuple[Endpoint, ...]:
    """Tell where sockets are bound, with the port the kernel chose for port 0."""
    return tuple(endpoint_of(each.getsockname()) for each in sockets)


def _open(endpoint: Endpoint, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if endpoint.host.version == IPV6 else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise bind_error(error, f"UDP {endpoint}") from None
    try:
        sock.settimeout(0)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own: both can be bound, and no address has two spellings.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(endpoint.sockaddr)
    except OSError as error:
        sock.close()
        raise bind_error(error, f"UDP {endpoint}") from None
    return sock
