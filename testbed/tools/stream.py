"""An open TCP or UDP stream to an echo service: one message after the other, a line per answer.

Arguments: tcp or udp, address, port, and seconds between messages (0.1). A message without an
answer by the time of the next is a silence; its answer is told all the same when it comes. Ends
when the connection is refused or reset.
"""

from __future__ import annotations

import itertools
import select
import socket
import sys
import time
from collections import deque

from testbed.tools.line import say

NUMBER_BYTES = 8
REMEMBERED = 1000
"""Messages whose time of sending is known."""


class Stream:
    """The messages so far."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._sent: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self._rest = b""
        """Of an answer whose end is in the next segment."""

    def send(self, number: int) -> None:
        self._sent.append((number, time.monotonic()))
        self._link.send(b"%0*d" % (NUMBER_BYTES, number))

    def receive(self) -> None:
        """Tell of the answers in the next segment or datagram; raises as recv does."""
        data = self._link.recv(64)
        if not data:
            raise ConnectionResetError("closed by the other end")
        data = self._rest + data
        whole = len(data) // NUMBER_BYTES * NUMBER_BYTES
        self._rest = data[whole:]
        now = time.monotonic()
        times = dict(self._sent)
        for at in range(0, whole, NUMBER_BYTES):
            number = int(data[at : at + NUMBER_BYTES])
            took_ms = round((now - times.get(number, now)) * 1000, 1)
            at_ms = time.time_ns() // 1_000_000
            say("answer", number=number, at_ms=at_ms, took_ms=took_ms)


def main() -> int:
    kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    every_s = float(sys.argv[4]) if len(sys.argv) > 4 else 0.1  # noqa: PLR2004 -- the last one
    family = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, family) as link:
        link.settimeout(10)
        link.connect((address, port))
        say("ready")
        link.settimeout(every_s)
        stream = Stream(link)
        for number in itertools.count():
            sent_at = time.monotonic()
            try:
                while select.select([link], [], [], 0)[0]:
                    stream.receive()
                stream.send(number)
                stream.receive()
            except TimeoutError:
                say("silence", number=number, at_ms=time.time_ns() // 1_000_000)
            except OSError as exc:
                if kind == "udp":
                    # No route any more, or refused: for a datagram that is silence as well.
                    say("silence", number=number, error=str(exc))
                    time.sleep(every_s)
                    continue
                say("ended", error=str(exc), at_ms=time.time_ns() // 1_000_000)
                return 1
            time.sleep(max(0.0, every_s - (time.monotonic() - sent_at)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
