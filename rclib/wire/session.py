"""What a session is made of: targets, link addresses, reasons. Shared by all messages."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

import msgspec

from rclib.wire.codec import Struct
from rclib.wire.errors import DecodeError
from rclib.wire.ids import DeviceId

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Reference = Annotated[str, msgspec.Meta(max_length=80)]
"""Number of a service ticket or an order, as people quote it; may be empty."""
Person = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
"""Who pressed, as the end knows them: an account, and where it was used."""
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""UTC, since 1970."""
RegionName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]
"""Where relays stand, as controld.toml calls it."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
IpText = Annotated[str, msgspec.Meta(max_length=45)]

TUNNEL_NETWORK = ipaddress.IPv4Network("100.64.0.0/10")
"""What only the inside of tunnels uses (RFC 6598): no plant may."""
LINK_NETWORK, VIRTUAL_NETWORK = TUNNEL_NETWORK.subnets()
"""Both ends' addresses inside a session; the devices' virtual addresses."""
MAX_TARGETS = 256


class Protocol(StrEnum):
    """What a target is reached with."""

    TCP = "tcp"
    UDP = "udp"
    ICMP_ECHO = "icmp_echo"


class Target(Struct, frozen=True):
    """One released (address, protocol, port) of a device."""

    device: DeviceId
    name: Name
    address: IpText
    protocol: Protocol
    port: Port | None = None
    """None: all ports of the protocol; always None for ICMP_ECHO."""
    virtual: IpText | None = None
    """Of VIRTUAL_NETWORK, this device's own: reaches it where the real address is in use already.
    None for IPv6 devices, whose addresses are nobody else's."""
    source_nat: bool = True
    """False: the device sees the technician's link address, and needs a route to LINK_NETWORK."""


class LinkAddresses(Struct, frozen=True):
    """The two ends' addresses inside the tunnel."""

    technician: IpText
    gateway: IpText


class EndReason(StrEnum):
    """Why a session ended. Closed set."""

    PLANT_OFF = "plant_off"
    PLANT_KILLED = "plant_killed"
    TECHNICIAN = "technician"
    ADMINISTRATOR = "administrator"
    USER_DISABLED = "user_disabled"
    TARGETS_CHANGED = "targets_changed"
    LEASE_ENDED = "lease_ended"
    TIME_OVER = "time_over"
    IDLE = "idle"
    TECHNICIAN_GONE = "technician_gone"
    GATEWAY_GONE = "gateway_gone"
    GATE_FAILED = "gate_failed"
    RULESET_MISMATCH = "ruleset_mismatch"
    REFUSED = "refused"


class RefusalReason(StrEnum):
    """Why an end did not take part. Closed set."""

    ACCESS_OFF = "access_off"
    IDENTITY_CHANGED = "identity_changed"
    BAD_SIGNATURE = "bad_signature"
    OUTSIDE_PLANT_NETWORKS = "outside_plant_networks"
    EXPIRED = "expired"
    BUSY = "busy"
    GATE_FAILED = "gate_failed"
    STORAGE = "storage"
    TICKET_INVALID = "ticket_invalid"
    GATEWAY_OFFLINE = "gateway_offline"
    NOT_ALLOWED = "not_allowed"
    NOT_RELEASED = "not_released"
    PROTOCOL = "protocol"


class PathKind(StrEnum):
    """How packets travel."""

    CONNECTING = "connecting"
    RELAY = "relay"
    DIRECT = "direct"


class PathStatus(Struct, frozen=True):
    """The path in use, for people."""

    kind: PathKind
    since_ms: Milliseconds
    detail: Text = ""
    """Why it is not the other one."""
    relay: str = ""
    """The relay that carries the packets, or stands by."""
    region: str = ""
    """Where that relay stands."""
    own_endpoint: str = ""
    """Where the other end reaches this one, while direct."""
    peer_endpoint: str = ""
    rtt_ms: float | None = None
    """There and back: by the relay as of late, directly as of the first packet."""
    loss_percent: float | None = None
    """Of late, both directions together."""
    mtu: int = 0


IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(place: str, text: str) -> IPAddress:
    """Read an IP address; IPv4-mapped IPv6 is unmapped before anything compares it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise DecodeError(place, f"{text[:45]!r} is not an IP address") from None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address
