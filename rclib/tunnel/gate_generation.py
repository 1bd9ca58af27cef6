"""Whether the kernel's packet filter has to be looked at again: it counts its transactions.

What moves without one (elements that run out, those the rules add, counters) is no change of rules.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
_NETLINK_NETFILTER: Final = 12
_REQUEST: Final = 0x01
_NEW_GENERATION, _GET_GENERATION = 10 << 8 | 15, 10 << 8 | 16
_HEADER: Final = struct.Struct("=IHHII")
_ANY_FAMILY: Final = struct.pack("!BBH", 0, 0, 0)  # struct nfgenmsg
# Behind both headers and that of the attribute NFTA_GEN_ID, which is the first.
_NUMBER_AT: Final = _HEADER.size + len(_ANY_FAMILY) + 4
_ANSWER_S: Final = 2.0

LOOKS: Final = 2
"""At each generation: the kernel counts it a moment before its rules hold."""


class Generation:
    """Remembers how often the newest generation has been looked at."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._looks = 0

    def wants_a_look(self) -> bool:
        """Ask before each look, which counts; where the kernel does not say, always."""
        now = _read()
        if now is None or now != self._newest:
            self._newest, self._looks = now, 0
        self._looks += 1
        return now is None or self._looks <= LOOKS


def _read() -> int | None:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
            kernel.settimeout(_ANSWER_S)
            size = _HEADER.size + len(_ANY_FAMILY)
            kernel.send(_HEADER.pack(size, _GET_GENERATION, _REQUEST, 1, 0) + _ANY_FAMILY)
            answer = kernel.recv(4096)
    except OSError:
        return None
    if len(answer) < _NUMBER_AT + 4 or _HEADER.unpack_from(answer)[1] != _NEW_GENERATION:
        return None
    (number,) = struct.unpack_from("!I", answer, _NUMBER_AT)
    return int(number)
