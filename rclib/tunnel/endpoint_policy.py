"""Which addresses may stand for a peer outside the tunnel. Pure; one rule for both directions.

Asked before a candidate is offered, when one is received, and by the gate before WireGuard is
pointed anywhere: what a peer says must not make this machine talk to itself or to a whole network.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_plan import LINK_NETWORK_V6
from rclib.wire.session import LINK_NETWORK

if TYPE_CHECKING:
    from rclib.wire.session import IPAddress

_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")


def why_no_endpoint(address: IPAddress) -> str | None:
    """Say as a clause what keeps an address from being a peer's; None: nothing."""
    kinds = (
        (getattr(address, "ipv4_mapped", None) is not None, "is an IPv4 address in disguise"),
        (getattr(address, "scope_id", None) is not None, "names an interface"),
        (address.is_unspecified or address in _THIS_NETWORK, "is unspecified"),
        (address.is_loopback, "is a loopback address"),
        (address.is_link_local, "is a link-local address"),
        (address.is_multicast, "is a multicast address"),
        (address == _BROADCAST, "is the broadcast address"),
        (
            address in LINK_NETWORK or address in LINK_NETWORK_V6,
            "belongs to the inside of tunnels",
        ),
    )
    return next((kind for applies, kind in kinds if applies), None)


def read_endpoint(text: str) -> IPAddress:
    """Read an address that may stand for a peer; ValueError says why it may not.

    Unlike `rclib.wire.session.parse_address` nothing is unmapped: a disguise is refused.
    """
    address = ipaddress.ip_address(text)
    reason = why_no_endpoint(address)
    if reason is not None:
        raise ValueError(f"{text} {reason}")
    return address
