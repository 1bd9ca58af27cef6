"""Many datagrams in one system call (sendmmsg(2)), where the kernel cannot cut a burst itself."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any, Final

from rclib.wire.relay import MAX_SEGMENTS

if TYPE_CHECKING:
    import socket


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("sent", ctypes.c_uint))


def _find_sendmmsg() -> Any:  # noqa: ANN401 - what ctypes deals in
    try:
        return ctypes.CDLL(None, use_errno=True).sendmmsg
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None


_sendmmsg: Final = _find_sendmmsg()
HAS_SENDMMSG: Final = _sendmmsg is not None


class Vector:
    """Room for one burst's messages, made once."""

    def __init__(self) -> None:
        self._pieces = (_Iovec * MAX_SEGMENTS)()
        self._messages = (_Mmsghdr * MAX_SEGMENTS)()
        for number, message in enumerate(self._messages):
            message.header.iov = ctypes.pointer(self._pieces[number])
            message.header.iovlen = 1

    def send(self, udp: socket.socket, segment: int, packets: bytes) -> int:
        """Send a burst of up to MAX_SEGMENTS on a connected socket; returns how many went.

        Raises OSError if the first did not go, ENOSYS without sendmmsg.
        """
        if _sendmmsg is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        start = ctypes.cast(ctypes.c_char_p(packets), ctypes.c_void_p).value or 0
        size = len(packets)
        count = -(-size // segment)
        for number in range(count):
            piece, at = self._pieces[number], number * segment
            piece.base, piece.size = start + at, min(segment, size - at)
        sent: int = _sendmmsg(udp.fileno(), self._messages, count, 0)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent
