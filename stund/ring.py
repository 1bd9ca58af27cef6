"""Room for a burst of datagrams, and the two ways to fill and empty it.

Everything is allocated once per socket. A row is one datagram, from `receive` until the next
`receive`; its answer stays in the row, so source, local address and answer belong together
without being copied.
"""

from __future__ import annotations

import errno
import socket
from abc import ABC, abstractmethod
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rclib.wire.stun_attributes import TransportAddress
from stund import libc
from stund.batch import IPV4_WORDS, IPV6_WORDS, REQUEST_WORDS, Ports, Words, blank_answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]

CAPACITY: Final = 256
ROW_BYTES: Final = 1504
"""One word more than the longest request, so that a longer one is seen to be longer."""

_SOURCE_BYTES: Final = 32  # a sockaddr_in6 and 4 bytes, so that rows stay aligned
_CONTROL_BYTES: Final = 64
_NO_ROOM: Final = (errno.EAGAIN, errno.ENOBUFS)

# What Python's socket module does not name.
_IP_PKTINFO: Final = 8
_IPV6_RECVPKTINFO: Final = 49
_INTERFACE_WORD: Final = {socket.AF_INET: 4, socket.AF_INET6: 8}
"""Where in a control message in_pktinfo and in6_pktinfo name the interface."""


class Ring(ABC):
    """CAPACITY datagrams of one socket. The arrays are valid up to what `receive` returned."""

    sizes: NDArray[np.uint32]
    ports: Ports
    addresses: Words

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._is_v6 = sock.family == socket.AF_INET6
        self._datagrams = np.zeros((CAPACITY, ROW_BYTES), np.uint8)
        self.requests: Words = self._datagrams.view(np.uint32)[:, :REQUEST_WORDS]
        host = IPv6Address(0) if self._is_v6 else IPv4Address(0)
        self.answers: Words = blank_answers(CAPACITY, TransportAddress(host, 0))

    @abstractmethod
    def receive(self) -> int:
        """Take what has arrived, at most CAPACITY datagrams; 0 if there is nothing."""

    @abstractmethod
    def put(self, row: int, answer: bytes) -> None:
        """Give a row an answer other than the one in `answers`, for the next `send` only."""

    @abstractmethod
    def send(self, rows: Rows) -> list[int]:
        """Answer these rows; returns the rows whose answer the kernel did not take."""

    def datagram(self, row: int) -> bytes:
        """Return a whole datagram; one of ROW_BYTES may have been longer."""
        return self._datagrams[row, : self.sizes[row]].tobytes()

    def source(self, row: int) -> TransportAddress:
        """Return where a datagram came from, IPv4 always as IPv4."""
        host = ip_address(self.addresses[row].tobytes())
        if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:
            host = host.ipv4_mapped
        return TransportAddress(host, int.from_bytes(self.ports[row].tobytes(), "big"))


def open_ring(sock: socket.socket) -> Ring:
    """Make the best ring this platform has for a non-blocking UDP socket."""
    return VectorRing(sock) if libc.HAS_MMSG else PlainRing(sock)


class VectorRing(Ring):
    """One system call for the whole ring: recvmmsg and sendmmsg.

    A socket bound to every address must answer from the one that was asked, or a NAT on the way
    drops the answer. So it has the kernel report that address with each datagram (IP_PKTINFO)
    and hands the report back with the answer.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._fd = sock.fileno()
        sources = np.zeros((CAPACITY, _SOURCE_BYTES), np.uint8)
        words = sources.view(np.uint32)
        self.ports = sources.view(np.uint16)[:, 1]
        self.addresses = words[:, 2 : 2 + IPV6_WORDS] if self._is_v6 else words[:, 1:2]
        self._control = np.zeros((CAPACITY, _CONTROL_BYTES), np.uint8)
        self._reports_local = is_wildcard(sock)
        if self._reports_local:
            self._interfaces = self._control.view(np.uint32)[:, _INTERFACE_WORD[sock.family]]
            _report_local_address(sock)

        self._incoming_iov = _iovecs(self._datagrams, ROW_BYTES)
        self._incoming = _messages(self._incoming_iov, sources, self._control)
        self._outgoing_iov = _iovecs(self.answers, self.answers.shape[1] * 4)
        self._outgoing = _messages(self._outgoing_iov, sources, self._control)
        self._ordinary_iov = self._outgoing_iov.copy()
        self._put: list[int] = []
        self._packed = np.zeros(CAPACITY, libc.MMSGHDR)
        self._received = 0
        self.sizes = self._incoming["len"]

    def receive(self) -> int:
        if self._reports_local:
            self._incoming["hdr"]["controllen"] = _CONTROL_BYTES
        try:
            self._received = libc.recvmmsg(
                self._fd, self._incoming.ctypes.data, CAPACITY, socket.MSG_DONTWAIT
            )
        except (BlockingIOError, InterruptedError):
            self._received = 0
        if self._reports_local:
            count = self._received
            lengths = self._incoming["hdr"]["controllen"][:count]
            self._outgoing["hdr"]["controllen"][:count] = lengths
            self._interfaces[:count] = 0  # the routing table knows the way, as for any answer
        return self._received

    def put(self, row: int, answer: bytes) -> None:
        # The request has been read: its room is free, and larger than any answer to it.
        self._datagrams[row, : len(answer)] = np.frombuffer(answer, np.uint8)
        self._outgoing_iov[row] = (self._incoming_iov["base"][row], len(answer))
        self._put.append(row)

    def send(self, rows: Rows) -> list[int]:
        messages = self._outgoing
        if len(rows) != self._received:
            messages = self._packed
            np.take(self._outgoing, rows, out=messages[: len(rows)], mode="clip")
        unsent = self._send(messages, rows)
        if self._put:
            self._outgoing_iov[self._put] = self._ordinary_iov[self._put]
            self._put.clear()
        return unsent

    def _send(self, messages: NDArray[np.void], rows: Rows) -> list[int]:
        unsent: list[int] = []
        position = 0
        while position < len(rows):
            vector = messages.ctypes.data + position * libc.MMSGHDR.itemsize
            try:
                position += libc.sendmmsg(
                    self._fd, vector, len(rows) - position, socket.MSG_DONTWAIT
                )
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno in _NO_ROOM:
                    unsent += rows[position:].tolist()
                    break
                unsent.append(int(rows[position]))
                position += 1
        return unsent


class PlainRing(Ring):
    """One system call per datagram: for platforms without recvmmsg.

    Cannot choose the source address of an answer: listen on named addresses there.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.sizes = np.zeros(CAPACITY, np.uint32)
        self.ports = np.zeros(CAPACITY, np.uint16)
        width = IPV6_WORDS if self._is_v6 else IPV4_WORDS
        self.addresses = np.zeros((CAPACITY, width), np.uint32)
        self._names: list[Any] = [None] * CAPACITY  # as Python's socket functions spell them
        self._put: dict[int, bytes] = {}

    def receive(self) -> int:
        for row in range(CAPACITY):
            try:
                size, name = self._socket.recvfrom_into(self._datagrams[row].data)
            except (BlockingIOError, InterruptedError):
                return row
            packed = socket.inet_pton(self._socket.family, name[0].partition("%")[0])
            self.sizes[row] = size
            self.ports[row] = socket.htons(name[1])
            self.addresses[row] = np.frombuffer(packed, np.uint32)
            self._names[row] = name
        return CAPACITY

    def put(self, row: int, answer: bytes) -> None:
        self._put[row] = answer

    def send(self, rows: Rows) -> list[int]:
        unsent: list[int] = []
        for row in rows.tolist():
            answer = self._put.get(row)
            try:
                self._socket.sendto(answer or self.answers[row].tobytes(), self._names[row])
            except OSError:
                unsent.append(row)
        self._put.clear()
        return unsent


def is_wildcard(sock: socket.socket) -> bool:
    """Whether a bound socket receives for every address of the machine."""
    return ip_address(sock.getsockname()[0].partition("%")[0]).is_unspecified


def _report_local_address(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _iovecs(rows: NDArray[Any], length: int) -> NDArray[np.void]:
    """Describe each row of an array to the kernel; the array has to stay where it is."""
    vector = np.zeros(len(rows), libc.IOVEC)
    vector["base"] = rows.ctypes.data + np.arange(len(rows)) * rows.strides[0]
    vector["len"] = length
    return vector


def _messages(
    iovecs: NDArray[np.void], sources: NDArray[np.uint8], control: NDArray[np.uint8]
) -> NDArray[np.void]:
    """Make the message vector of one direction; controllen 0 switches `control` off."""
    vector = np.zeros(len(iovecs), libc.MMSGHDR)
    header = vector["hdr"]
    header["name"] = _iovecs(sources, 0)["base"]
    header["namelen"] = _SOURCE_BYTES
    header["iov"] = _iovecs(iovecs, 0)["base"]
    header["iovlen"] = 1
    header["control"] = _iovecs(control, 0)["base"]
    return vector
