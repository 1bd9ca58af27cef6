"""One half of a UDP link between two hosts: what stands in for the relay leg in the gate's tests.

Arguments: UDP port on 127.0.0.1, own Unix datagram socket, the other half's. WireGuard is spoken
to where it last sent from, or, until it has sent something, at the port in the file `OWN.peer`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from pathlib import Path


def main() -> None:
    port, own, other = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    between = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    between.bind(own)
    sys.stdout.write('{"event": "ready"}\n')
    sys.stdout.flush()
    while True:
        readable, _, _ = select.select([udp, between], [], [])
        for each in readable:
            with contextlib.suppress(OSError, ValueError):
                if each is udp:
                    between.sendto(udp.recv(65536), other)
                else:
                    packet = between.recv(65536)
                    wireguard = int(Path(own + ".peer").read_text())
                    udp.sendto(packet, ("127.0.0.1", wireguard))


if __name__ == "__main__":
    main()
