"""Read holding registers of a PLC until one answer comes: prints when, and the values.

Arguments: address, first register, count, seconds to try.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

from testbed.tools.line import say
from testbed.waiting import SLOWNESS

PORT = 502
ATTEMPT_S = 0.25 * SLOWNESS
READ_HOLDING_REGISTERS = 3
MBAP_BYTES = 7


def read(address: str, first: int, count: int, timeout_s: float) -> list[int]:
    """One Modbus TCP transaction (MBAP header, function 3); raises OSError."""
    with socket.create_connection((address, PORT), timeout=timeout_s) as link:
        pdu = struct.pack(">BHH", READ_HOLDING_REGISTERS, first, count)
        link.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
        header = _exactly(link, MBAP_BYTES)
        body = _exactly(link, struct.unpack(">HHHB", header)[2] - 1)
    if body[0] != READ_HOLDING_REGISTERS:
        raise OSError(f"the PLC answered with exception {body[1]}")
    return list(struct.unpack(f">{count}H", body[2 : 2 + 2 * count]))


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise OSError("the PLC closed the connection")
        data += part
    return data


def main() -> int:
    address, first, count, seconds = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])
    say("ready")
    deadline = time.monotonic() + seconds
    error = "not tried"
    while time.monotonic() < deadline:
        try:
            values = read(address, first, count, ATTEMPT_S)
        except OSError as exc:
            error = str(exc)
            # A refused attempt comes back at once; an unanswered one has waited already.
            time.sleep(0.02)
        else:
            say("read", values=values, at_ms=time.time_ns() // 1_000_000)
            return 0
    say("failed", error=error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
