"""The NAT routers' behaviour as nftables rules. Pure: kinds in, rule text out."""

from __future__ import annotations

from enum import StrEnum

WAN = "wan0"
LAN = "lan0"
TABLE = "inet site"


class NatKind(StrEnum):
    """How a site's router treats the traffic of the hosts behind it."""

    NONE = "none"
    """Plain router: the hosts inside have public addresses and nothing is filtered."""
    PORT_PRESERVING = "port_preserving"
    """Masquerade as Linux does it: source port kept where it is free, so every destination sees
    the same mapping; filtering by address and port."""
    SYMMETRIC = "symmetric"
    """A fresh random source port for every destination."""
    UDP_BLOCKED = "udp_blocked"
    """Only TCP gets out (port preserving), as behind strict company firewalls."""

    @property
    def translates(self) -> bool:
        return self is not NatKind.NONE


def render(kind: NatKind) -> str:
    """One nft transaction that replaces whatever the router did before."""
    chains = "" if kind is NatKind.NONE else _stateful_router(kind)
    return f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{chains}}}\n"


def _stateful_router(kind: NatKind) -> str:
    outbound = "meta l4proto tcp accept" if kind is NatKind.UDP_BLOCKED else "accept"
    masquerade = "masquerade fully-random" if kind is NatKind.SYMMETRIC else "masquerade"
    # Unsolicited packets to the router itself are dropped, not refused: an entry that conntrack
    # never confirms cannot occupy the port which a hole-punching host inside is about to use.
    return f"""\
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "{LAN}" {outbound}
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{WAN}" ct state established,related accept
    iifname "{WAN}" meta l4proto {{ icmp, ipv6-icmp }} accept
    iifname "{WAN}" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname "{WAN}" meta nfproto ipv4 {masquerade}
  }}
"""
