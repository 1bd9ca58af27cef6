"""Tells each IP packet and each ARP question an interface sees, in hexadecimal, and which way.

Argument: the interface. Packets that differ only in identification, checksum or data are told
once: a witness of a hundred thousand must not fall behind.
"""

from __future__ import annotations

import socket
import struct
import sys

from testbed.tools.hostile import ETHERTYPES
from testbed.tools.line import say

ETH_ALL, ETH_ARP = 0x0003, 0x0806
HEAD = 48
BUFFER = 1 << 24
# linux/if_packet.h
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
SO_RCVBUFFORCE = 33


def main() -> None:
    interface = sys.argv[1]
    told: set[tuple[str, bytes]] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        wire.bind((interface, ETH_ALL))
        index = socket.if_nametoindex(interface)
        all_of_it = struct.pack("=IHH8s", index, PACKET_MR_PROMISC, 0, b"")
        wire.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, all_of_it)
        say("ready")
        while True:
            packet, (_, kind, direction, *_) = wire.recvfrom(HEAD)
            way = "out" if direction == socket.PACKET_OUTGOING else "in"
            if kind == ETH_ARP:
                event, essence = "arp", packet
            elif kind in ETHERTYPES.values():
                is_v4 = kind == ETHERTYPES[4]
                event, essence = "ip", packet[6:10] + packet[12:24] if is_v4 else packet[6:44]
            else:
                continue
            if (way, essence) not in told:
                told.add((way, essence))
                say(event, way=way, packet=packet.hex())


if __name__ == "__main__":
    main()
