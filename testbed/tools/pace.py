"""Datagrams to an echo service at an even pace; says which came back, when and in which order.

Arguments: address, port, packets per second. Ends at SIGTERM, with one line about every packet.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time

from testbed.tools.line import say


def main() -> None:
    address, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect((address, port))
    link.settimeout(0.2)
    sent_ms: list[float] = []
    came: list[int] = []

    def receive() -> None:
        while not stopping.is_set():
            try:
                came.append(int(link.recv(64)))
            except OSError:
                continue

    receiver = threading.Thread(target=receive)
    receiver.start()
    say("ready")
    start = time.monotonic()
    while not stopping.is_set():
        wait_s = start + len(sent_ms) / rate - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        with contextlib.suppress(OSError):  # no route for a moment: that packet is lost
            link.send(b"%012d" % len(sent_ms))
        sent_ms.append(time.time() * 1000)
    stopping.wait()
    receiver.join()
    say("paced", sent_ms=sent_ms, came=came)


if __name__ == "__main__":
    main()
