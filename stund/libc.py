"""What of the C library has no Python function: recvmmsg and sendmmsg. Linux only.

`MMSGHDR` and `IOVEC` describe the C structures to numpy, so that a vector of them is an array
and its columns can be set at once.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final, cast

import numpy as np


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_size_t),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_size_t),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_size_t),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint32))


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_size_t), ("len", ctypes.c_size_t))


MMSGHDR: Final = cast("np.dtype[np.void]", np.dtype(_Mmsghdr))
IOVEC: Final = cast("np.dtype[np.void]", np.dtype(_Iovec))

_libc: Final = ctypes.CDLL(None, use_errno=True)

HAS_MMSG: Final = hasattr(_libc, "recvmmsg") and hasattr(_libc, "sendmmsg")


def _function(name: str, *argument_types: Any) -> Any:  # noqa: ANN401 - what ctypes deals in
    function = getattr(_libc, name)
    function.argtypes = argument_types
    function.restype = ctypes.c_int
    return function


if HAS_MMSG:
    _recvmmsg = _function(
        "recvmmsg",
        ctypes.c_int,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_size_t,
    )
    _sendmmsg = _function("sendmmsg", ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int)


def recvmmsg(fd: int, vector: int, count: int, flags: int) -> int:
    """Receive into the vector at that address and return how many came; raises OSError."""
    return _checked(_recvmmsg(fd, vector, count, flags, 0))


def sendmmsg(fd: int, vector: int, count: int, flags: int) -> int:
    """Send from the vector at that address and return how many went; raises OSError.

    An error is raised for the first message only; a later one ends the call early.
    """
    return _checked(_sendmmsg(fd, vector, count, flags))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
