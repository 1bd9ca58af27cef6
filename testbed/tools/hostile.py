"""A technician who sends what they please, and the IP packets they send, as bytes and back.

Arguments: an interface, a file with one packet per line in hexadecimal. They go into the interface
past the host's own rules and routes.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final, NamedTuple

from testbed.tools.line import say

ICMP, TCP, UDP, GRE, ICMP6, SCTP = 1, 6, 17, 47, 58, 132
ECHO, REDIRECT, ECHO6 = 8, 5, 128
SYN, ACK = 0x02, 0x10
ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}
BURST, PAUSE_S = 50, 0.01
"""Slow enough for a WireGuard in user space on a loaded machine."""


class Tuple(NamedTuple):
    """What rules decide by. `port` is the destination's; of ICMP it is the type."""

    source: str
    destination: str
    protocol: int
    port: int


@dataclass(frozen=True)
class Packet:
    """One packet to send."""

    tuple: Tuple
    fragment: int = 0
    """Offset in units of eight bytes; -1: the first of more fragments. IPv4 only."""
    flags: int = SYN
    number: int = 40_000
    """Source port."""

    def encode(self) -> bytes:
        source, destination = ip_address(self.tuple.source), ip_address(self.tuple.destination)
        payload = self._payload(source.packed + destination.packed)
        protocol, size = self.tuple.protocol, len(payload)
        if isinstance(source, IPv6Address):
            head = struct.pack("!IHBB", 6 << 28, size, protocol, 64)
            return head + source.packed + destination.packed + payload
        offset = 0x2000 if self.fragment < 0 else self.fragment
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 7, offset, 64, protocol, 0)
        head += source.packed + destination.packed
        return _with_checksum(head, 10, head) + payload

    def _payload(self, addresses: bytes) -> bytes:
        protocol, port, data = self.tuple.protocol, self.tuple.port, b"hostile!"
        if protocol == TCP:
            at, body = (
                16,
                struct.pack("!HHIIBBHHH", self.number, port, 1, 1, 80, self.flags, 9, 0, 0),
            )
        elif protocol == UDP:
            at, body = 6, struct.pack("!HHHH", self.number, port, 8 + len(data), 0) + data
        elif protocol in {ICMP, ICMP6}:
            at, body = 2, struct.pack("!BBHHH", port, 0, 0, self.number, 1) + data
        else:
            return struct.pack("!HH", self.number, port) + data
        pseudo = b"" if protocol == ICMP else addresses + struct.pack("!HH", len(body), protocol)
        return _with_checksum(body, at, pseudo + body)


def decode(packet: bytes) -> Tuple:
    """Read an IP packet, or the beginning of one. A later fragment has the port 0."""
    protocol, start = _transport(packet)
    if version(packet) == 4:  # noqa: PLR2004 -- IPv4
        source, destination = packet[12:16], packet[16:20]
        is_later = bool(int.from_bytes(packet[6:8]) & 0x1FFF)
    else:
        source, destination = packet[8:24], packet[24:40]
        is_later = False
    if is_later:
        port = 0
    elif protocol in {ICMP, ICMP6}:
        port = packet[start]
    else:
        port = int.from_bytes(packet[start + 2 : start + 4])
    return Tuple(str(ip_address(source)), str(ip_address(destination)), protocol, port)


def number_of(packet: bytes) -> int:
    """Read the source port, or the identifier of an echo."""
    protocol, start = _transport(packet)
    at = start + 4 if protocol in {ICMP, ICMP6} else start
    return int.from_bytes(packet[at : at + 2])


def _transport(packet: bytes) -> tuple[int, int]:
    """Tell the protocol and where its header begins."""
    is_v4 = version(packet) == 4  # noqa: PLR2004 -- IPv4
    return (packet[9], (packet[0] & 15) * 4) if is_v4 else (packet[6], 40)


def version(packet: bytes) -> int:
    return packet[0] >> 4


def _with_checksum(data: bytes, at: int, summed: bytes) -> bytes:
    padded = summed + b"\0" * (len(summed) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]


def main() -> None:
    interface, path = sys.argv[1:]
    say("ready")
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as out:
        for count, line in enumerate(Path(path).read_text().split(), 1):
            packet = bytes.fromhex(line)
            out.sendto(packet, (interface, ETHERTYPES[version(packet)]))
            if count % BURST == 0:
                time.sleep(PAUSE_S)
    say("sent")


if __name__ == "__main__":
    main()
