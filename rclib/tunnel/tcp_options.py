"""Socket options of a relay leg's TCP connection, at either end."""

from __future__ import annotations

import socket
from typing import Final

NOTSENT_BYTES: Final = 128 * 1024
"""Unsent bytes the kernel takes: it is not to be a second, invisible queue."""
USER_TIMEOUT_MS: Final = 15_000
"""Sent bytes may stay unacknowledged for this long: then the other end is gone."""

_TCP_NOTSENT_LOWAT: Final = 25  # include/uapi/linux/tcp.h; Python 3.11 has no name for it


def tune(connection: socket.socket) -> None:
    """Set what matters on a bad network; a system that lacks an option does without it."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_BYTES)
