"""One half of a UDP link between two hosts: what stands in for the relay leg in the gate's tests.

Arguments: UDP port on 127.0.0.1, own Unix datagram socket, the other half's. WireGuard is spoken
to where it last sent from; the half that is first spoken to finds its port in the file `OWN.peer`.
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
    wireguard: tuple[str, int] | None = None
    while True:
        readable, _, _ = select.select([udp, between], [], [])
        for each in readable:
            with contextlib.suppress(OSError):
                if each is udp:
                    packet, wireguard = udp.recvfrom(65536)
                    between.sendto(packet, other)
                else:
                    packet = between.recv(65536)
                    if wireguard is None:
                        wireguard = ("127.0.0.1", int(Path(own + ".peer").read_text()))
                    udp.sendto(packet, wireguard)


if __name__ == "__main__":
    main()
