"""The inner half of a doorway: a Unix socket in front of a TCP port of this host."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

from testbed.tools.line import say
from testbed.waiting import SLOWNESS

CHUNK = 65536


def splice(a: socket.socket, b: socket.socket) -> None:
    """Copy both ways until both ends have closed, half-closes included."""
    done = [threading.Event(), threading.Event()]
    for source, target, own in ((a, b, done[0]), (b, a, done[1])):
        threading.Thread(target=_copy, args=(source, target, own, done), daemon=True).start()


def _copy(
    source: socket.socket,
    target: socket.socket,
    own: threading.Event,
    both: list[threading.Event],
) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    own.set()
    if all(event.is_set() for event in both):
        source.close()
        target.close()


def main() -> None:
    path, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    say("ready")
    while True:
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection((address, port), timeout=5 * SLOWNESS)
            inner.settimeout(None)  # an answer may take as long as its reader waits
            splice(outer, inner)
        except OSError:
            outer.close()


if __name__ == "__main__":
    main()
