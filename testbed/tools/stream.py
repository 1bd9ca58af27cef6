"""An open TCP or UDP stream to an echo service: one message after the other, a line per answer.

Arguments: tcp or udp, address, port, and seconds between messages (0.1). Ends when the connection
is refused or reset.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time

from testbed.tools.line import say


def main() -> int:
    kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    every_s = float(sys.argv[4]) if len(sys.argv) > 4 else 0.1  # noqa: PLR2004 -- the last one
    family = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, family) as link:
        link.settimeout(10)
        link.connect((address, port))
        say("ready")
        link.settimeout(every_s)
        for number in itertools.count():
            sent_at = time.monotonic()
            try:
                link.send(b"%08d" % number)
                if link.recv(64):
                    took_ms = round((time.monotonic() - sent_at) * 1000, 1)
                    now_ms = time.time_ns() // 1_000_000
                    say("answer", number=number, at_ms=now_ms, took_ms=took_ms)
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
