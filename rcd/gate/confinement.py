"""The gateway's packet filter as text for `nft`: rules, allow-set, renewals. Pure.

In the order of a packet's life: the table, what a session adds to it, how it stays, how it goes.
docs/confinement.md explains the rules to people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rcd.gate.names import FLOW_MARK, PREFIX, TABLE, lent_set
from rclib.tunnel.gate_plan import IPV4, IPV6
from rclib.wire.gate import LIFETIME_S
from rclib.wire.session import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rclib.tunnel.gate_plan import Grant, TunnelPlan
    from rclib.wire.session import IPAddress

LASTING_SETS: Final = frozenset(
    {"plant", lent_set(IPV4), lent_set(IPV6), "mss4", "mss6"}
    | {"virtual4", "source_kept4", "source_kept6"}
    | {"to_device4", "to_device6", "from_device4", "from_device6", "refusals"}
)
"""Sets whose elements have no timeout."""

REFUSED_SETS: Final = frozenset(
    {"refused_ports4", "refused_ports6", "refused_hosts4", "refused_hosts6"}
)
"""Sets that the rules themselves fill, with where refused packets were going."""
MAX_REFUSED: Final = 256
"""Destinations in each of them: a scan of the plant's network fills them, and nothing more."""
REFUSED_S: Final = 600
"""How long such a destination is remembered after its last packet."""

# By number: the names of protocols depend on /etc/protocols.
_PROTOCOL_NUMBERS: Final = {Protocol.TCP: 6, Protocol.UDP: 17}
# What a segment needs besides its data: IPv4 or IPv6 header and TCP header.
_HEADERS: Final = {IPV4: 40, IPV6: 60}

_SETS: Final = """
  set plant { type ifname; }
  set lent4 { type ifname; }
  set lent6 { type ifname; }
  map mss4 { typeof iifname : tcp option maxseg size; }
  map mss6 { typeof iifname : tcp option maxseg size; }
  map virtual4 { type ifname . ipv4_addr : ipv4_addr; }
  set source_kept4 { type ifname . ipv4_addr; }
  set source_kept6 { type ifname . ipv6_addr; }
  set refusals { type ifname; counter; }
""" + "".join(
    f"""
  set ports{v} {{
    type ifname . ipv{v}_addr . ipv{v}_addr . inet_proto . inet_service
    flags timeout; timeout {LIFETIME_S}s
  }}
  set hosts{v} {{
    type ifname . ipv{v}_addr . ipv{v}_addr . inet_proto
    flags timeout; timeout {LIFETIME_S}s
  }}
  set pings{v} {{
    type ifname . ipv{v}_addr . ipv{v}_addr
    flags timeout; timeout {LIFETIME_S}s
  }}
  set to_device{v} {{ type ifname . ipv{v}_addr; counter; }}
  set from_device{v} {{ type ifname . ipv{v}_addr; counter; }}
  set refused_ports{v} {{
    type ifname . ipv{v}_addr . inet_proto . inet_service
    size {MAX_REFUSED}; flags dynamic, timeout; timeout {REFUSED_S}s; counter
  }}
  set refused_hosts{v} {{
    type ifname . ipv{v}_addr . inet_proto
    size {MAX_REFUSED}; flags dynamic, timeout; timeout {REFUSED_S}s; counter
  }}
"""
    for v in (IPV4, IPV6)
)

_RULES: Final = f"""
  chain input {{
    type filter hook input priority mangle; policy accept;
    iifname "{PREFIX}*" goto refused
  }}

  chain output {{
    type filter hook output priority mangle; policy accept;
    oifname "{PREFIX}*" ct state related jump errors
    oifname "{PREFIX}*" counter drop
  }}

  chain forward {{
    type filter hook forward priority mangle; policy accept;
    iifname "{PREFIX}*" oifname "{PREFIX}*" goto refused
    iifname "{PREFIX}*" jump from_tunnel
    oifname "{PREFIX}*" jump to_tunnel
    meta nfproto ipv4 iifname @lent4 counter drop
    meta nfproto ipv6 iifname @lent6 counter drop
  }}

  chain from_tunnel {{
    oifname @plant ct direction original ct state {{ new, established }} jump released
    goto refused
  }}
  chain released {{
    ct state new ct mark set {FLOW_MARK:#010x}
    meta nfproto ipv4 tcp flags syn / syn,rst tcp option maxseg size set iifname map @mss4
    meta nfproto ipv6 tcp flags syn / syn,rst tcp option maxseg size set iifname map @mss6
    iifname . ip saddr . ip daddr . meta l4proto . th dport @ports4 goto to_device
    iifname . ip saddr . ip daddr . meta l4proto @hosts4 goto to_device
    icmp type echo-request iifname . ip saddr . ip daddr @pings4 goto to_device
    iifname . ip6 saddr . ip6 daddr . meta l4proto . th dport @ports6 goto to_device
    iifname . ip6 saddr . ip6 daddr . meta l4proto @hosts6 goto to_device
    icmpv6 type echo-request iifname . ip6 saddr . ip6 daddr @pings6 goto to_device
  }}
  chain to_device {{
    iifname . ip daddr @to_device4 counter accept
    iifname . ip6 daddr @to_device6 counter accept
  }}
  chain refused {{
    iifname @refusals
    meta nfproto ipv4 meta l4proto {{ 6, 17 }} update @refused_ports4 {{ iifname . ip daddr . meta l4proto . th dport }}
    meta nfproto ipv4 meta l4proto != {{ 6, 17 }} update @refused_hosts4 {{ iifname . ip daddr . meta l4proto }}
    meta nfproto ipv6 meta l4proto {{ 6, 17 }} update @refused_ports6 {{ iifname . ip6 daddr . meta l4proto . th dport }}
    meta nfproto ipv6 meta l4proto != {{ 6, 17 }} update @refused_hosts6 {{ iifname . ip6 daddr . meta l4proto }}
    counter drop
  }}

  chain to_tunnel {{
    iifname @plant ct direction reply ct state established jump replies
    iifname @plant ct direction reply ct state related jump errors
    counter drop
  }}
  chain replies {{
    meta nfproto ipv4 tcp flags syn / syn,rst tcp option maxseg size set oifname map @mss4
    meta nfproto ipv6 tcp flags syn / syn,rst tcp option maxseg size set oifname map @mss6
    oifname . ip daddr . ip saddr . meta l4proto . th sport @ports4 goto from_device
    oifname . ip daddr . ip saddr . meta l4proto @hosts4 goto from_device
    icmp type echo-reply oifname . ip daddr . ip saddr @pings4 goto from_device
    oifname . ip6 daddr . ip6 saddr . meta l4proto . th sport @ports6 goto from_device
    oifname . ip6 daddr . ip6 saddr . meta l4proto @hosts6 goto from_device
    icmpv6 type echo-reply oifname . ip6 daddr . ip6 saddr @pings6 goto from_device
  }}
  chain from_device {{
    oifname . ip saddr @from_device4 counter accept
    oifname . ip6 saddr @from_device6 counter accept
  }}
  chain errors {{
    icmp type {{ destination-unreachable, time-exceeded }} oifname . ct original ip saddr . ct reply ip saddr . ct original protocol . ct reply proto-src @ports4 counter accept
    icmp type {{ destination-unreachable, time-exceeded }} oifname . ct original ip saddr . ct reply ip saddr . ct original protocol @hosts4 counter accept
    icmp type {{ destination-unreachable, time-exceeded }} ct original protocol 1 oifname . ct original ip saddr . ct reply ip saddr @pings4 counter accept
    icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded }} oifname . ct original ip6 saddr . ct reply ip6 saddr . ct original protocol . ct reply proto-src @ports6 counter accept
    icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded }} oifname . ct original ip6 saddr . ct reply ip6 saddr . ct original protocol @hosts6 counter accept
    icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded }} ct original protocol 58 oifname . ct original ip6 saddr . ct reply ip6 saddr @pings6 counter accept
  }}
"""  # noqa: E501, S608 -- one rule, one line, as nft prints it; no SQL

# 1:1: a device's virtual address becomes its real one before anything is compared with it.
_DESTINATION_NAT: Final = f"""
  chain destination_nat {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{PREFIX}*" dnat ip to iifname . ip daddr map @virtual4
  }}
"""

_SOURCE_NAT: Final = f"""
  chain source_nat {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname . ip daddr @source_kept4 accept
    iifname . ip6 daddr @source_kept6 accept
    iifname "{PREFIX}*" oifname @plant masquerade
  }}
"""


def table(*, source_nat: bool) -> str:
    """Return the table with empty sets: in this state everything from and to tunnels is dropped."""
    nat = _DESTINATION_NAT + (_SOURCE_NAT if source_nat else "")
    return f"table inet {TABLE} {{{_SETS}{_RULES}{nat}}}\n"


def allow_elements(plan: TunnelPlan) -> dict[str, tuple[str, ...]]:
    """Return the session's elements by set: exactly what it may reach, for LIFETIME_S seconds."""
    elements: dict[str, list[str]] = {}
    for grant in plan.grants:
        version = grant.address.version
        ends = f"{plan.interface} . {plan.peer_address(version)} . {grant.address}"
        name, rest = _selector(grant)
        elements.setdefault(f"{name}{version}", []).append(ends + rest)
    return {name: tuple(each) for name, each in elements.items()}


def lasting_elements(plan: TunnelPlan) -> dict[str, tuple[str, ...]]:
    """Return what describes the session and grants nothing: by set, for as long as it is open."""
    return _clamp_elements(plan) | _nat_elements(plan) | _count_elements(plan)


def allow(plan: TunnelPlan, plant_interfaces: Iterable[str]) -> str:
    """Open the door for a session that has its elements for the first time."""
    return (
        _change("add", {"plant": tuple(plant_interfaces)})
        + _change("add", lasting_elements(plan))
        + _change("add", allow_elements(plan))
    )


def renew(plans: Iterable[TunnelPlan]) -> str:
    """Start the elements' timeouts anew; as a whole it fails if one of them has run out.

    Adding alone would leave the old timeout; adding first would bring back what has run out.
    """
    return "".join(
        _change("delete", allow_elements(plan)) + _change("add", allow_elements(plan))
        for plan in plans
    )


def disallow(plan: TunnelPlan) -> str:
    """Close the door, also if some or all elements have run out."""
    elements = {**lasting_elements(plan), **allow_elements(plan)}
    # Within one transaction the addition is never seen by a packet; without it the deletion of
    # what has run out would fail.
    return _change("add", elements) + _change("delete", elements)


def lend(version: int, interface: str) -> str:
    """Confine an interface to tunnels before forwarding is switched on for it."""
    return _change("add", {lent_set(version): (interface,)})


def _clamp_elements(plan: TunnelPlan) -> dict[str, tuple[str, ...]]:
    # The largest TCP segment.
    return {
        f"mss{version}": (f"{plan.interface} : {plan.mtu - _HEADERS[version]}",)
        for version in plan.versions
    }


def _count_elements(plan: TunnelPlan) -> dict[str, tuple[str, ...]]:
    elements: dict[str, tuple[str, ...]] = {"refusals": (plan.interface,)}
    for version in plan.versions:
        devices = tuple(
            counted_element(plan.interface, target)
            for target in plan.targets
            if target.version == version
        )
        elements |= {f"to_device{version}": devices, f"from_device{version}": devices}
    return elements


def counted_element(interface: str, device: IPAddress) -> str:
    """Name what counts a session's packets to and from a device."""
    return f"{interface} . {device}"


def _nat_elements(plan: TunnelPlan) -> dict[str, tuple[str, ...]]:
    real = {each.virtual: each.address for each in plan.devices if each.virtual is not None}
    elements = {"virtual4": tuple(f"{plan.interface} . {v} : {r}" for v, r in real.items())}
    # A machine that is there under two names is translated if one of them says so.
    translated = {device.address for device in plan.devices if device.source_nat}
    for version in plan.versions:
        elements[f"source_kept{version}"] = tuple(
            f"{plan.interface} . {target}"
            for target in plan.targets
            if target.version == version and plan.devices and target not in translated
        )
    return elements


def _selector(grant: Grant) -> tuple[str, str]:
    match grant.protocol:
        case Protocol.ICMP_ECHO:
            return "pings", ""
        case Protocol.TCP | Protocol.UDP if grant.port is None:
            return "hosts", f" . {_PROTOCOL_NUMBERS[grant.protocol]}"
        case Protocol.TCP | Protocol.UDP:
            return "ports", f" . {_PROTOCOL_NUMBERS[grant.protocol]} . {grant.port}"


def _change(verb: str, elements: Mapping[str, tuple[str, ...]]) -> str:
    return "".join(
        f"{verb} element inet {TABLE} {name} {{ {', '.join(each)} }}\n"
        for name, each in elements.items()
        if each
    )
