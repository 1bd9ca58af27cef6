"""The listening socket: what goes beyond the limits is closed before a byte of it is read.

Accepting and closing tells the peer at once and frees the kernel's queue for others.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rclib.runtime.clock import boottime
from rclib.runtime.errors import bind_error
from rclib.runtime.net import endpoint_of
from relayd.reasons import RefusedAccept

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.net import Endpoint
    from relayd.accept_limits import AcceptLimits

_OUT_OF_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE))


class LimitedListener(socket.socket):
    """A TCP listener whose `accept` hands out only what the limits let pass."""

    def __init__(
        self,
        endpoint: Endpoint,
        limits: AcceptLimits,
        on_refused: Callable[[RefusedAccept], None],
    ) -> None:
        """Bind, without listening yet; raises StartError."""
        family = socket.AF_INET6 if endpoint.host.version == _IPV6 else socket.AF_INET
        super().__init__(family, socket.SOCK_STREAM)
        self._limits = limits
        self._on_refused = on_refused
        self._spare = _spare_descriptor()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Unspecified means every address of this machine, IPv4 as well.
            only_v6 = not endpoint.host.is_unspecified
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        try:
            self.bind(endpoint.sockaddr)
        except OSError as exc:
            self.close()
            raise bind_error(exc, f"TCP {endpoint}") from None

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection within the limits; raises BlockingIOError if there is none."""
        while True:
            try:
                plain, peer = super().accept()
            except OSError as exc:
                if exc.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                self._refuse_with_spare()
                continue
            refused = self._limits.accepted(peer, endpoint_of(peer).host, boottime())
            if refused is None:
                return _Accepted(plain, partial(self._limits.settled, peer)), peer
            plain.close()
            self._on_refused(refused)

    def close(self) -> None:
        """Stop listening; idempotent."""
        super().close()
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)

    def _refuse_with_spare(self) -> None:
        """Close one connection nobody can serve: left in the queue it would wake the loop for ever.

        Raises BlockingIOError if even that does not work.
        """
        spare, self._spare = self._spare, None
        if spare is None:
            raise BlockingIOError(errno.EAGAIN, "no file descriptor left")
        os.close(spare)
        try:
            super().accept()[0].close()
            self._on_refused(RefusedAccept.NO_DESCRIPTOR)
        finally:
            self._spare = _spare_descriptor()


class _Accepted(socket.socket):
    """A connection that tells when it is closed, by whomever."""

    def __init__(self, plain: socket.socket, on_closed: Callable[[], None]) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self._on_closed = on_closed

    def close(self) -> None:
        super().close()
        self._on_closed()


def _spare_descriptor() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


_IPV6 = 6
