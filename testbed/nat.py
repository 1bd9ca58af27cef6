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
    ADDRESS_DEPENDENT = "address_dependent"
    """The same mapping for every destination, open for all ports of the hosts it was used
    towards (RFC 4787 §5: address-dependent filtering)."""
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
    bindings, learn, open_door, answer = "", "", "", ""
    if kind is NatKind.ADDRESS_DEPENDENT:
        # Who was sent something may answer from any port. The mapping keeps the source port, so
        # that this is all there is to remember.
        bindings = """\
  map bindings {
    type ipv4_addr . inet_service : ipv4_addr
    flags dynamic,timeout
    timeout 1m
  }
"""
        far_end = "ip daddr . udp sport : ip saddr"
        learn = f'    iifname "{LAN}" meta l4proto udp update @bindings {{ {far_end} }}\n'
        answer = "    ct status dnat accept\n"
        open_door = f"""\
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname "{WAN}" meta l4proto udp dnat ip to ip saddr . udp dport map @bindings
  }}
"""
    # Unsolicited packets to the router itself are dropped, not refused: an entry that conntrack
    # never confirms cannot occupy the port which a hole-punching host inside is about to use.
    return f"""\
{bindings}{open_door}\
  chain forward {{
    type filter hook forward priority filter; policy drop;
{learn}{answer}\
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
