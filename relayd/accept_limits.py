"""How many connections may be on their way to being a leg: per address and per second. Pure.

A connection counts from its accept until it is admitted or closed, through TLS handshake, HTTP
upgrade and token, so that no stage of it is free of charge.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from relayd.reasons import RefusedAccept

if TYPE_CHECKING:
    from collections.abc import Hashable

    from rclib.runtime.net import IpAddress

_SUBSCRIBER_PREFIX = 64
"""IPv6: whoever has one address has all 2**64 of its network."""


class AcceptLimits:
    """A token bucket for all and a count per address."""

    def __init__(self, *, rate_per_s: float, burst: int, max_per_address: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_per_address = max_per_address
        self._allowance = float(burst)
        self._refilled_at = 0.0
        self._pending: dict[Hashable, tuple[IpAddress, float]] = {}
        self._per_address: dict[IpAddress, int] = {}

    @property
    def pending(self) -> int:
        """Connections that are neither admitted nor closed."""
        return len(self._pending)

    def accepted(self, connection: Hashable, host: IpAddress, now: float) -> RefusedAccept | None:
        """Count one connection, or say why it is to be closed at once (it then counts nowhere)."""
        subscriber = _subscriber(host)
        self._allowance = min(
            self._burst, self._allowance + (now - self._refilled_at) * self._rate_per_s
        )
        self._refilled_at = now
        if self._allowance < 1:
            return RefusedAccept.RATE
        # A refused connection has cost the same handful of system calls.
        self._allowance -= 1
        here = self._per_address.get(subscriber, 0)
        if here >= self._max_per_address:
            return RefusedAccept.ADDRESS
        self._pending[connection] = subscriber, now
        self._per_address[subscriber] = here + 1
        return None

    def accepted_at(self, connection: Hashable) -> float | None:
        """When a connection was accepted that is not settled yet."""
        pending = self._pending.get(connection)
        return pending[1] if pending is not None else None

    def settled(self, connection: Hashable) -> None:
        """The connection was admitted or closed; further calls for it change nothing."""
        pending = self._pending.pop(connection, None)
        if pending is None:
            return
        subscriber, _ = pending
        left = self._per_address[subscriber] - 1
        if left:
            self._per_address[subscriber] = left
        else:
            del self._per_address[subscriber]


def _subscriber(host: IpAddress) -> IpAddress:
    if host.version == _IPV4:
        return host
    network = ipaddress.ip_network((host, _SUBSCRIBER_PREFIX), strict=False)
    return network.network_address


_IPV4 = 4
