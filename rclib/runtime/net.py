"""Addresses with a port, typed inside and textual only at the edge."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final
from urllib.parse import urlsplit

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_PORT: Final = 65535

_ENDPOINT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<v4>[^:\[\]]*)):(?P<port>[0-9]{1,5})", re.ASCII)


class Endpoint:
    """An IP address and a port; port 0 asks the kernel for a free one.

    A value object by hand: msgspec would read a dataclass as a table of its own,
    and configurations write endpoints as text.
    """

    __match_args__ = ("host", "port")
    __slots__ = ("host", "port")

    def __init__(self, host: IpAddress, port: int) -> None:
        self.host: Final = host
        self.port: Final = port

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Endpoint):
            return NotImplemented
        return (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))

    def __repr__(self) -> str:
        return f"Endpoint({self})"

    def __str__(self) -> str:
        if isinstance(self.host, ipaddress.IPv6Address):
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"

    @property
    def sockaddr(self) -> tuple[str, int]:
        """The pair that socket and asyncio calls take."""
        return str(self.host), self.port


def parse_endpoint(text: str) -> Endpoint:
    """Read "192.0.2.1:3478" or "[2001:db8::1]:3478"; raises ValueError.

    Names are refused: what a daemon binds must not depend on a resolver.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no address with port, like 127.0.0.1:3478 or [::1]:3478")
    port = int(match["port"])
    if port > MAX_PORT:
        raise ValueError(f"{text!r}: port {port} is above {MAX_PORT}")
    host: IpAddress
    try:
        if match["v6"] is not None:
            host = ipaddress.IPv6Address(match["v6"])
        else:
            host = ipaddress.IPv4Address(match["v4"])
    except ipaddress.AddressValueError as exc:
        raise ValueError(f"{text!r}: not an IP address ({exc})") from None
    return Endpoint(host, port)


def endpoint_of(sockaddr: tuple[Any, ...]) -> Endpoint:
    """Return the endpoint of what a socket reports as its own or its peer's name.

    A dual-stack socket shows IPv4 peers as ::ffff:192.0.2.1. They are unmapped here,
    once, so that no rule further in can be passed by under the other spelling.
    """
    host: IpAddress = ipaddress.ip_address(sockaddr[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return Endpoint(host, sockaddr[1])


def check_proxy(proxy: str) -> None:
    """Raise ValueError unless this is http://HOST:PORT and no more."""
    parts = urlsplit(proxy)
    try:
        is_complete = bool(parts.scheme == "http" and parts.hostname and parts.port)
    except ValueError:
        is_complete = False
    if not is_complete or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a proxy is named like http://proxy.example:3128")
    if "@" in parts.netloc:
        raise ValueError("the proxy's login belongs to proxy_login, where no listing shows it")
