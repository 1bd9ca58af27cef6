"""The sockets of stund: read what is there, bounded, answer, go on."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import bind_error
from rclib.runtime.net import Endpoint, parse_endpoint
from stund.metrics import outcome_counters
from stund.responder import MAX_REQUEST_BYTES, respond

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DRAIN: Final = 64
"""Datagrams of one read event, so that signals and other sockets get their turn."""


class StunServer:
    """Answers on every address it was given, until closed."""

    def __init__(self, listen: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._counters = outcome_counters(registry)
        self._sockets: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        try:
            for endpoint in map(parse_endpoint, listen):
                udp = _bind(endpoint)
                self._sockets.append(udp)
                loop.add_reader(udp.fileno(), self._drain, udp)
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(udp.getsockname()[1] for udp in self._sockets)

    def close(self) -> None:
        for udp in self._sockets:
            asyncio.get_running_loop().remove_reader(udp.fileno())
            udp.close()
        self._sockets.clear()

    def _drain(self, udp: socket.socket) -> None:
        for _ in range(DRAIN):
            try:
                datagram, source = udp.recvfrom(MAX_REQUEST_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier answer
            outcome, answer = respond(datagram, source[0], source[1])
            self._counters[outcome].inc()
            if answer is not None:
                try:
                    udp.sendto(answer, source)
                except OSError:
                    continue  # the client asks again


def _bind(endpoint: Endpoint) -> socket.socket:
    is_v6 = endpoint.host.version == 6  # noqa: PLR2004 - IP version
    udp = socket.socket(
        socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    )
    try:
        if is_v6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind(endpoint.sockaddr)
    except OSError as exc:
        udp.close()
        raise bind_error(exc, f"UDP {endpoint}") from None
    return udp
