"""An open TCP or UDP stream to an echo service: ten messages a second, one line per answer.

Arguments: tcp or udp, address, port. Ends when the connection is refused or reset.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time

from testbed.tools.line import say

EVERY_S = 0.1


def main() -> int:
    kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    family = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, family) as link:
        link.settimeout(10)
        link.connect((address, port))
        say("ready")
        link.settimeout(EVERY_S)
        for number in itertools.count():
            sent_at = time.monotonic()
            try:
                link.send(b"%08d" % number)
                if link.recv(64):
                    say("answer", number=number, at_ms=time.time_ns() // 1_000_000)
            except TimeoutError:
                say("silence", number=number, at_ms=time.time_ns() // 1_000_000)
            except OSError as exc:
                if kind == "udp":
                    # No route any more, or refused: for a datagram that is silence as well.
                    say("silence", number=number, error=str(exc))
                    time.sleep(EVERY_S)
                    continue
                say("ended", error=str(exc), at_ms=time.time_ns() // 1_000_000)
                return 1
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - sent_at)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
