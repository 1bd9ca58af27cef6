"""Read holding registers of a PLC until one answer comes: prints when, and the values.

Arguments: address, first register, count, seconds to try.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread

from testbed.tools.line import say
from testbed.waiting import SLOWNESS

PORT = 502
ATTEMPT_S = 2.0 * SLOWNESS
EVERY_S = 0.025 * SLOWNESS
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


def first_answer(address: str, first: int, count: int, seconds: float) -> tuple[list[int], int]:
    """Begin an attempt every EVERY_S, whatever becomes of the others: no wait of ours is measured.

    Returns the values and when they came, in UTC milliseconds; raises OSError of the last attempt.
    """
    answers: Queue[tuple[list[int], int]] = Queue()
    errors: deque[OSError] = deque([OSError("no answer")], maxlen=1)

    def attempt() -> None:
        try:
            answers.put((read(address, first, count, ATTEMPT_S), time.time_ns() // 1_000_000))
        except OSError as exc:
            errors.append(exc)

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        Thread(target=attempt, daemon=True).start()
        with suppress(Empty):
            return answers.get(timeout=EVERY_S)
    raise errors[0]


def main() -> int:
    address, first, count, seconds = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])
    say("ready")
    try:
        values, at_ms = first_answer(address, first, count, seconds)
    except OSError as exc:
        say("failed", error=str(exc))
        return 1
    say("read", values=values, at_ms=at_ms)
    return 0


if __name__ == "__main__":
    sys.exit(main())
