"""The loopback socket that stands for the peer: WireGuard's packets in bursts, and back.

One read event drains the socket (bounded, so that nothing else starves) into DATA messages; a
burst leaves when the socket is empty, never on a timer. Towards WireGuard a whole burst is one
system call with UDP_SEGMENT, or with sendmmsg where the kernel cannot do that.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from rclib.runtime.clock import boottime
from rclib.tunnel.burst_buffer import MAX_BURST_BYTES, MAX_PACKET_BYTES, BurstBuffer
from rclib.tunnel.early_messages import EarlyMessages
from rclib.tunnel.mmsg import HAS_SENDMMSG, Vector
from rclib.wire.bursts import split
from rclib.wire.relay import DATA_HEADER_BYTES, data_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger

SOCKET_BUFFER_BYTES: Final = 7 * 1024 * 1024
"""What a gigabit of WireGuard needs while this process is busy elsewhere."""
DRAIN: Final = 64
"""Packets read before the event loop has its turn."""

BATCH_S: Final = 0.01
"""How long what still comes by the relay may wait while the direct path is in use."""

PUMP_OPENED = "pump_opened"

# Linux names that Python 3.11 does not have.
_UDP_SEGMENT: Final = 103
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_MEMINFO_WORDS: Final = 9

# The kernel or the interface cannot cut this burst, or a sandbox does not let it.
_CANNOT: Final = frozenset(
    (errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
)


class Way(Enum):
    """How a burst goes to WireGuard; what does not work is given up for the next."""

    SEGMENT = auto()
    MMSG = auto()
    EACH = auto()


@dataclass(slots=True)
class PumpCounters:
    """What went through; bytes are WireGuard's own."""

    from_wireguard_packets: int = 0
    from_wireguard_bytes: int = 0
    to_wireguard_packets: int = 0
    to_wireguard_bytes: int = 0
    dropped_strange: int = 0  # not sent by WireGuard
    dropped_oversize: int = 0
    dropped_early: int = 0  # for a WireGuard that was not there yet
    dropped_by_socket: int = 0  # towards WireGuard: its buffer was full, or it was gone


class UdpPump:
    """One session's loopback socket."""

    def __init__(
        self,
        on_burst: Callable[[memoryview], object],
        log: Logger,
        *,
        max_burst_bytes: int = MAX_BURST_BYTES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._bursts = BurstBuffer(on_burst, max_burst_bytes)
        self._early = EarlyMessages()
        self._wireguard_port: int | None = None
        self._way = Way.SEGMENT if hasattr(socket, "CMSG_SPACE") else Way.EACH
        self._vector: Vector | None = None
        self.counters = PumpCounters()
        self._dropped_by_kernel = 0
        """At sockets that were closed."""
        # Of a move of WireGuard to another port, and of the time after it.
        self._held: list[tuple[int, bytes]] | None = None
        self._next: socket.socket | None = None
        self._batch_timer: asyncio.TimerHandle | None = None
        self._on_batch: Callable[[], object] | None = None
        self._socket = _open_socket(0)
        self.port: Final[int] = self._socket.getsockname()[1]
        """WireGuard's endpoint is this port on 127.0.0.1."""
        receive = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        send = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        log.info(PUMP_OPENED, port=self.port, receive_buffer=receive, send_buffer=send)

    def wireguard_listens(self, port: int) -> None:
        """From here on packets go there, and only those from there are taken.

        What WireGuard sent before has waited in the socket's buffer. Idempotent.
        """
        if self._socket.fileno() == -1 or port == self._wireguard_port:
            return
        # Connected, the kernel itself keeps out whoever else on this machine writes to the port.
        self._socket.connect(("127.0.0.1", port))
        is_first, self._wireguard_port = self._wireguard_port is None, port
        self._take_what_waited(port)
        if is_first:
            self._loop.add_reader(self._socket.fileno(), self._drain, self._socket)
        for message in self._early.take(boottime()):
            self.deliver(len(message) - DATA_HEADER_BYTES, memoryview(message)[DATA_HEADER_BYTES:])

    def wireguard_will_move(self, port: int) -> None:
        """Listen to both ports, and keep what comes from the peer until `release`."""
        if self._socket.fileno() == -1 or self._next is not None:
            return
        self._held = [] if self._held is None else self._held
        # A second socket on the same port, which the kernel tells apart by the sender.
        self._next = _open_socket(self.port)
        self._next.connect(("127.0.0.1", port))
        self._loop.add_reader(self._next.fileno(), self._drain, self._next)

    def wireguard_has_moved(self, *, done: bool) -> None:
        """The move is over, or did not come about."""
        if self._next is None:
            return
        stays, goes = (self._next, self._socket) if done else (self._socket, self._next)
        if done:
            self._wireguard_port = stays.getpeername()[1]
        self._drain(goes)
        self._loop.remove_reader(goes.fileno())
        self._socket, self._next = stays, None
        self._dropped_by_kernel += drops_of(goes)
        goes.close()

    def release(self) -> None:
        """Hand over what was kept."""
        held, self._held = self._held or [], None
        for segment, packets in held:
            self._hand_over(segment, memoryview(packets))
        if self._on_batch is not None:
            self._held = []

    def batch(self, on_batch: Callable[[], object] | None) -> None:
        """While WireGuard sends directly, hand over what still comes by the relay every BATCH_S.

        WireGuard answers to wherever its peer was last heard from, here to the relay: `on_batch`
        points it back. None: hand over at once, as before.
        """
        self._on_batch = on_batch
        self._end_batch()

    def deliver(self, segment: int, packets: memoryview) -> None:
        """Hand a burst from the peer to WireGuard."""
        if self._held is None:
            self._hand_over(segment, packets)
            return
        # The buffer belongs to the relay's connection.
        self._held.append((segment, bytes(packets)))
        if self._next is None and self._batch_timer is None:
            self._batch_timer = self._loop.call_later(BATCH_S, self._end_batch)

    def _end_batch(self) -> None:
        if self._batch_timer is not None:
            self._batch_timer.cancel()
            self._batch_timer = None
        if self._next is not None:
            return  # a move is under way; its end hands everything over
        was_kept = bool(self._held)
        self.release()
        if was_kept and self._on_batch is not None:
            self._on_batch()

    def _hand_over(self, segment: int, packets: memoryview) -> None:
        counters = self.counters
        count = -(-len(packets) // segment)
        if self._wireguard_port is None:
            if not self._early.keep(data_header(segment) + packets, boottime()):
                counters.dropped_early += count
            return
        counters.to_wireguard_packets += count
        counters.to_wireguard_bytes += len(packets)
        if count > 1 and self._way is Way.SEGMENT and self._send_segmented(segment, packets, count):
            return
        if count > 1 and self._way is not Way.EACH and self._send_many(segment, packets, count):
            return
        for packet in split(segment, packets):
            try:
                self._socket.send(packet)
            except OSError:
                counters.dropped_by_socket += 1

    def _send_segmented(self, segment: int, packets: memoryview, count: int) -> bool:
        """False: it has to go another way."""
        try:
            control = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", segment))]
            self._socket.sendmsg([packets], control)
        except OSError as exc:
            if exc.errno == errno.EMSGSIZE:  # more than one datagram holds
                return False
            if exc.errno in _CANNOT:
                self._way = Way.MMSG if HAS_SENDMMSG else Way.EACH
                return False
            self.counters.dropped_by_socket += count
        return True

    def _send_many(self, segment: int, packets: memoryview, count: int) -> bool:
        """False: it has to go another way."""
        self._vector = self._vector or Vector()
        try:
            sent = self._vector.send(self._socket, segment, bytes(packets))
        except OSError as exc:
            if exc.errno in _CANNOT:
                self._way = Way.EACH
                return False
            sent = 0
        # The first that does not go ends the call: the buffer is full, and so it is for the rest.
        self.counters.dropped_by_socket += count - sent
        return True

    @property
    def kernel_drops(self) -> int:
        """Packets of WireGuard that found this socket's buffer full."""
        return self._dropped_by_kernel + drops_of(self._socket)

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._batch_timer is not None:
            self._batch_timer.cancel()
        for each in (self._socket, self._next):
            if each is not None and each.fileno() != -1:
                self._dropped_by_kernel += drops_of(each)
                self._loop.remove_reader(each.fileno())
                each.close()

    # Internals.

    def _take_what_waited(self, port: int) -> None:
        """Read what came before the kernel knew whom to listen to, and judge it here."""
        while True:
            try:
                packet, source = self._socket.recvfrom(MAX_PACKET_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:
                continue
            if source != ("127.0.0.1", port):
                self.counters.dropped_strange += 1
                continue
            self._bursts.free[: len(packet)] = packet
            self._took(len(packet))
        self._bursts.flush()

    def _drain(self, udp: socket.socket) -> None:
        bursts, receive = self._bursts, udp.recv_into
        for _ in range(DRAIN):
            try:
                size = receive(bursts.free)
            except BlockingIOError:
                break
            except OSError:
                continue  # the ICMP answer to an earlier packet: WireGuard is not there
            self._took(size)
        bursts.flush()

    def _took(self, size: int) -> None:
        if size == 0:
            self.counters.dropped_strange += 1  # no packet of WireGuard is empty
        elif size > MAX_PACKET_BYTES:
            self.counters.dropped_oversize += 1
        else:
            self.counters.from_wireguard_packets += 1
            self.counters.from_wireguard_bytes += size
            self._bursts.add(size)


def _open_socket(port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)  # noqa: FBT003 - the name of the call says it
    # For the moment in which WireGuard changes its port; the kernel grants it to one user only.
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    udp.bind(("127.0.0.1", port))
    _size(udp, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
    _size(udp, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
    return udp


def drops_of(udp: socket.socket) -> int:
    """Packets that found a socket's buffer full, as the kernel counts them."""
    if udp.fileno() == -1:
        return 0
    try:
        words = udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_WORDS)
    except OSError:  # not Linux
        return 0
    return int(struct.unpack(f"={_MEMINFO_WORDS}I", words)[_MEMINFO_DROPS])


def _size(udp: socket.socket, forced: int, asked: int) -> None:
    """Size one buffer as far as this process may."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER_BYTES)
    except OSError:
        udp.setsockopt(socket.SOL_SOCKET, asked, SOCKET_BUFFER_BYTES)
