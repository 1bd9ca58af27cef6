"""One line for each packet to or from a port of this host: when, which way, how many bytes of data.

Arguments: interface, port. Sees IPv4 packets as they are on the wire, before any rule of the host.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

from testbed.tools.line import say

ETH_P_ALL = 3
_IPV4 = 0x0800
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


def main() -> None:
    interface, port = sys.argv[1], int(sys.argv[2])
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((interface, ETH_P_ALL))
        say("ready")
        while True:
            packet, (_, protocol, kind, *_) = wire.recvfrom(64)
            at_ms = time.time_ns() // 1_000_000
            if protocol != _IPV4 or packet[9] not in _PROTOCOLS:
                continue
            header = (packet[0] & 15) * 4
            source, destination = struct.unpack_from("!HH", packet, header)
            if port in {source, destination}:
                way = "out" if kind == socket.PACKET_OUTGOING else "in"
                name = _PROTOCOLS[packet[9]]
                (length,) = struct.unpack_from("!H", packet, 2)
                data = length - header - (packet[header + 12] // 16 * 4 if name == "tcp" else 8)
                say("packet", kind=name, way=way, data=data, at_ms=at_ms)


if __name__ == "__main__":
    main()
