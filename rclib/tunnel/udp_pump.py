"""The loopback socket that stands for the peer: WireGuard's packets in bursts, and back.

One read event drains the socket (bounded, so that nothing else starves) into DATA messages; a
burst leaves when the socket is empty, never on a timer. Towards WireGuard a whole burst is one
system call with UDP_SEGMENT.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from rclib.wire.relay import bursts, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger

UDP_SEGMENT: Final = 103  # include/uapi/linux/udp.h; Python 3.11 has no name for it
SO_RCVBUFFORCE: Final = 33
SO_SNDBUFFORCE: Final = 32
BUFFER_BYTES: Final = 7 * 1024 * 1024
"""What a gigabit of WireGuard needs while this process is busy elsewhere."""
DRAIN: Final = 64
MAX_BURST_BYTES: Final = 32 * 1024
MAX_PACKET: Final = 2048
MAX_EARLY: Final = 4

PUMP_OPENED = "pump_opened"


class UdpPump:
    """One session's loopback socket."""

    def __init__(self, on_burst: Callable[[bytes], object], log: Logger) -> None:
        self._on_burst = on_burst
        self._wireguard: tuple[str, int] | None = None
        self._early: deque[tuple[int, bytes]] = deque(maxlen=MAX_EARLY)
        self._segments = hasattr(socket, "CMSG_SPACE")
        self.sent_packets = self.received_packets = self.dropped_packets = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        receive = _size(self._socket, SO_RCVBUFFORCE, socket.SO_RCVBUF)
        send = _size(self._socket, SO_SNDBUFFORCE, socket.SO_SNDBUF)
        log.info(PUMP_OPENED, port=self.port, receive_buffer=receive, send_buffer=send)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)

    def wireguard_listens(self, port: int) -> None:
        """From here on packets go there, and only those from there are taken."""
        self._wireguard = ("127.0.0.1", port)
        while self._early:
            segment, packets = self._early.popleft()
            self.deliver(segment, memoryview(packets))

    def deliver(self, segment: int, packets: memoryview) -> None:
        """Hand a burst from the peer to WireGuard."""
        if self._wireguard is None:
            self._early.append((segment, bytes(packets)))
            return
        count = -(-len(packets) // segment)
        self.received_packets += count
        try:
            if count > 1 and self._segments:
                control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", segment))]
                self._socket.sendmsg([packets], control, 0, self._wireguard)
                return
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.ENOPROTOOPT, errno.EIO, errno.EMSGSIZE):
                self.dropped_packets += count
                return
            # This kernel does not segment for us; one call a packet does the same, slower.
            self._segments = exc.errno == errno.EMSGSIZE
        for packet in split(segment, packets):
            try:
                self._socket.sendto(packet, self._wireguard)
            except OSError:
                # Full or refused: a lost datagram, which WireGuard's users expect.
                self.dropped_packets += 1

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._socket.fileno() != -1:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    def _drain(self) -> None:
        packets: list[bytes] = []
        for _ in range(DRAIN):
            try:
                packet, source = self._socket.recvfrom(MAX_PACKET)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier send; the next call reads on
            # Anything else on this machine could write to the port; only WireGuard may.
            if self._wireguard in (None, source):
                packets.append(packet)
            else:
                self.dropped_packets += 1
        self.sent_packets += len(packets)
        for message in bursts(packets, MAX_BURST_BYTES):
            self._on_burst(message)


def _size(udp: socket.socket, forced: int, asked: int) -> int:
    """Size one buffer as far as this process may; returns what the kernel gave."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
    except OSError:
        udp.setsockopt(socket.SOL_SOCKET, asked, BUFFER_BYTES)
    return udp.getsockopt(socket.SOL_SOCKET, asked)
