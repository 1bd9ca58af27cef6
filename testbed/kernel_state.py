"""What the kernel says to whoever asks past our own code: the packet filter's generation."""

from __future__ import annotations

import socket
import struct
from typing import Final

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
_NETLINK_NETFILTER: Final = 12
_REQUEST: Final = 0x01
_GET_GENERATION: Final = 10 << 8 | 16
_HEADER: Final = struct.Struct("=IHHII")


def generation() -> int:
    """How many transactions this network namespace's packet filter has seen."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(10)
        body = struct.pack("!BBH", 0, 0, 0)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _GET_GENERATION, _REQUEST, 1, 0) + body)
        answer = kernel.recv(4096)
    # nlmsghdr, nfgenmsg, then NFTA_GEN_ID: an attribute's header and 32 bits, big endian.
    (number,) = struct.unpack_from("!I", answer, _HEADER.size + 4 + 4)
    return int(number)
