"""Makes a TCP service reachable under another address: for hosts that speak IPv6 only.

Arguments: address and port to listen on, address and port to connect to.
"""

from __future__ import annotations

import socket
import sys

from testbed.tools.door import splice
from testbed.tools.line import say


def main() -> None:
    address, port, target, target_port = sys.argv[1:5]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, int(port)))
        listener.listen()
        say("ready")
        while True:
            outer, _ = listener.accept()
            try:
                splice(outer, socket.create_connection((target, int(target_port)), timeout=5))
            except OSError:
                outer.close()


if __name__ == "__main__":
    main()
