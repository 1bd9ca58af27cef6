"""A session as its gate carries it out: names, addresses and grants, parsed and checked. Pure.

Inside the tunnel both ends have the IPv4 link address controld chose. Sessions with IPv6 devices
also have IPv6 link addresses, which both ends derive from those.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_errors import GateRefused
from rclib.wire.errors import DecodeError
from rclib.wire.gate import GateError
from rclib.wire.session import (
    LINK_NETWORK,
    TUNNEL_NETWORK,
    VIRTUAL_NETWORK,
    IPAddress,
    Protocol,
    parse_address,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.wire.gate import Allow, Open
    from rclib.wire.ids import SessionId, TunnelKey

LINK_NETWORK_V6: Final = ipaddress.IPv6Network("fdc4:9a1e:6b7d::/96")
"""Unique local prefix (RFC 4193) that carries an IPv4 link address in its last 32 bits."""

IPV4: Final = 4
IPV6: Final = 6
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# Linux allows 15 characters: 3 of prefix leave 60 bits of the session's id.
_ID_CHARACTERS = 12
_ID_PREFIX = "ses_"


@dataclass(frozen=True, slots=True)
class Grant:
    """One device address, and what of it is released."""

    address: IPAddress
    protocol: Protocol
    port: int | None
    """None: all ports; always None for ICMP echo."""

    def __str__(self) -> str:
        port = f" port {self.port}" if self.port is not None else ""
        return f"{self.address} {self.protocol}{port}"


@dataclass(frozen=True, slots=True)
class Device:
    """One machine, and how the two ends name it."""

    address: IPAddress
    """Its real one, in the plant."""
    virtual: ipaddress.IPv4Address | None = None
    """Its other one, inside the tunnel: 1:1."""
    source_nat: bool = True
    """Whether it sees the gateway's address, or the technician's link address."""


@dataclass(frozen=True, slots=True)
class TunnelPlan:
    """One session's tunnel at one end."""

    session: SessionId
    interface: str
    local: ipaddress.IPv4Address
    peer: ipaddress.IPv4Address
    grants: tuple[Grant, ...]
    peer_key: TunnelKey
    endpoint_port: int
    mtu: int
    keepalive_s: int
    devices: tuple[Device, ...] = ()
    """Of each `Allow` of the Open, in their order."""

    @property
    def versions(self) -> tuple[int, ...]:
        """IP versions spoken inside the tunnel."""
        has_v6 = any(grant.address.version == IPV6 for grant in self.grants)
        return (IPV4, IPV6) if has_v6 else (IPV4,)

    def local_address(self, version: int) -> IPAddress:
        return self.local if version == IPV4 else link_address_v6(self.local)

    def peer_address(self, version: int) -> IPAddress:
        return self.peer if version == IPV4 else link_address_v6(self.peer)

    @property
    def targets(self) -> tuple[IPAddress, ...]:
        """Each device address once."""
        return tuple(dict.fromkeys(grant.address for grant in self.grants))


def interface_name(prefix: str, session: SessionId) -> str:
    """Name a session's interface; the same session has the same name at every start."""
    return prefix + session.removeprefix(_ID_PREFIX)[:_ID_CHARACTERS]


def link_address_v6(address: ipaddress.IPv4Address) -> ipaddress.IPv6Address:
    return LINK_NETWORK_V6[int(address)]


def plan_tunnel(prefix: str, request: Open) -> TunnelPlan:
    """Read an Open. Raises GateRefused for what no end can carry out."""
    local = _link_address("local_address", request.local_address)
    peer = _link_address("peer_address", request.peer_address)
    if local == peer:
        raise GateRefused(GateError.MALFORMED, f"both ends have the link address {local}")
    devices = tuple(_device(allow) for allow in request.allow)
    _check_one_to_one(devices)
    return TunnelPlan(
        session=request.session,
        interface=interface_name(prefix, request.session),
        local=local,
        peer=peer,
        grants=tuple(dict.fromkeys(_grant(allow) for allow in request.allow)),
        peer_key=request.peer_key,
        endpoint_port=request.endpoint_port,
        mtu=request.mtu,
        keepalive_s=request.keepalive_s,
        devices=devices,
    )


def check_among(plan: TunnelPlan, others: Iterable[TunnelPlan]) -> None:
    """Refuse a tunnel that shares its name or a link address with an open one."""
    for other in others:
        if plan.interface == other.interface:
            raise GateRefused(
                GateError.ADDRESS_IN_USE,
                f"sessions {plan.session} and {other.session} would share the interface "
                f"{plan.interface}; start the session again, with a new id",
            )
        shared = {plan.local, plan.peer} & {other.local, other.peer}
        if shared:
            raise GateRefused(
                GateError.ADDRESS_IN_USE,
                f"link address {min(shared)} already belongs to session {other.session}",
            )


def _link_address(field: str, text: str) -> ipaddress.IPv4Address:
    address = _address(field, text)
    if not isinstance(address, ipaddress.IPv4Address) or address not in LINK_NETWORK:
        raise GateRefused(
            GateError.FORBIDDEN_ADDRESS, f"{field}: {address} is no address of {LINK_NETWORK}"
        )
    return address


def _grant(allow: Allow) -> Grant:
    if allow.protocol is Protocol.ICMP_ECHO and allow.port is not None:
        raise GateRefused(GateError.MALFORMED, f"ICMP echo to {allow.address} names a port")
    return Grant(_address("allow", allow.address), allow.protocol, allow.port)


def _device(allow: Allow) -> Device:
    address = _address("allow", allow.address)
    if address in TUNNEL_NETWORK or address in LINK_NETWORK_V6:
        raise GateRefused(
            GateError.FORBIDDEN_ADDRESS, f"{address} belongs to the inside of tunnels"
        )
    if allow.virtual is None:
        return Device(address, None, allow.source_nat)
    virtual = _address("allow.virtual", allow.virtual)
    if not isinstance(virtual, ipaddress.IPv4Address) or virtual not in VIRTUAL_NETWORK:
        raise GateRefused(
            GateError.FORBIDDEN_ADDRESS, f"virtual: {virtual} is no address of {VIRTUAL_NETWORK}"
        )
    if address.version != IPV4:
        raise GateRefused(GateError.MALFORMED, f"{address} cannot be reached by IPv4's {virtual}")
    return Device(address, virtual, allow.source_nat)


def _check_one_to_one(devices: Iterable[Device]) -> None:
    behind: dict[IPAddress, IPAddress] = {}
    for device in devices:
        if device.virtual is None:
            continue
        other = behind.setdefault(device.virtual, device.address)
        if other != device.address:
            raise GateRefused(
                GateError.MALFORMED,
                f"the virtual address {device.virtual} stands for {other} and {device.address}",
            )


def _address(place: str, text: str) -> IPAddress:
    try:
        address = parse_address(place, text)
    except DecodeError as exc:
        raise GateRefused(GateError.MALFORMED, str(exc)) from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise GateRefused(GateError.MALFORMED, f"{place}: {text!r} names an interface")
    return address
