"""Gate protocol: what rcd and rcc may ask of their privileged half (docs/protocol/local.md).

One JSON object per line over a Unix socket. Answers carry the request's number; Tampered comes
unasked. The gate belongs to the connection: when it closes, every session it opened closes.
Private WireGuard keys are made in the gate and never leave it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import MAX_TARGETS, IpText, Port, Protocol, Target, Text

LIFETIME_S: Final = 15
"""How long the kernel keeps an allow-set element that nobody renews."""
RENEW_S: Final = 5
MAX_REFUSED: Final = 32
"""Destinations of refused packets that one answer names."""
MAX_UNDER_WAY: Final = 16
"""Requests of one connection that may wait for their answers."""
OwnPort = Annotated[int, msgspec.Meta(ge=1024, le=65535)]
"""A port this end may listen on."""
RequestNumber = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class Allow(Struct, frozen=True):
    """One (device address, protocol, port) a session may reach."""

    address: IpText
    protocol: Protocol
    port: Port | None = None
    virtual: IpText | None = None
    """The device's other address inside the tunnel; see `session.Target`."""
    source_nat: bool = True


def allow(target: Target) -> Allow:
    """What the gate has to know of a target."""
    return Allow(target.address, target.protocol, target.port, target.virtual, target.source_nat)


class Prepare(Struct, frozen=True, tag="prepare"):
    """Make a fresh WireGuard key for a session, and an interface that is down and knows nobody."""

    session: SessionId


class Open(Struct, frozen=True, tag="open"):
    """Bring the session's interface up, with its routes or its allow-set."""

    session: SessionId
    peer_key: TunnelKey
    local_address: IpText
    peer_address: IpText
    endpoint_port: Port
    """UDP port on 127.0.0.1 that stands for the peer: the relay leg's loopback socket."""
    allow: Annotated[tuple[Allow, ...], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)]
    mtu: Annotated[int, msgspec.Meta(ge=1280, le=1420)]
    keepalive_s: Annotated[int, msgspec.Meta(ge=0, le=120)] = 25


class Renew(Struct, frozen=True, tag="renew"):
    """Keep these sessions' allow-set elements for another LIFETIME_S; late ones stay shut."""

    sessions: Annotated[tuple[SessionId, ...], msgspec.Meta(max_length=256)]


class Close(Struct, frozen=True, tag="close"):
    """Remove everything of one session. Closing what is not open is no error."""

    session: SessionId


class CloseAll(Struct, frozen=True, tag="close_all"):
    """Remove everything of all sessions."""


class Measure(Struct, frozen=True, tag="measure"):
    """Read the tunnels' counters."""


class UdpEndpoint(Struct, frozen=True):
    """Where a peer's packets come from and go to, outside the tunnel."""

    address: IpText
    port: Port

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class Steer(Struct, frozen=True, tag="steer"):
    """Move a session's WireGuard to another UDP port, point it elsewhere, or both in one step.

    Its keys stay, so there is no new handshake. With an endpoint one keepalive is sent at once.
    """

    session: SessionId
    listen_port: OwnPort | None = None
    """None: the port it has."""
    endpoint: UdpEndpoint | None = None
    """None: where it points now; 127.0.0.1 only with the Open's `endpoint_port`."""


class Probe(Struct, frozen=True, tag="probe"):
    """Send one keepalive to wherever WireGuard points: a sign of life for the other end."""

    session: SessionId


class ReadFlows(Struct, frozen=True, tag="read_flows"):
    """Read what passed in one session, which may have ended a moment ago.

    As old as the gate's last look at the rules, at most a second; final once it is closed.
    """

    session: SessionId


Verb = Prepare | Open | Renew | Close | CloseAll | Measure | Steer | Probe | ReadFlows


class GateRequest(Struct, frozen=True, tag="request"):
    """One verb; at most MAX_UNDER_WAY may wait for their answers."""

    number: RequestNumber
    verb: Verb


class Prepared(Struct, frozen=True, tag="prepared"):
    """The public half of the session's key."""

    tunnel_key: TunnelKey


class Opened(Struct, frozen=True, tag="opened"):
    """The interface is up and listens."""

    interface: str
    listen_port: Port
    backend: str
    """`kernel` or `wireguard-go`."""


class Renewed(Struct, frozen=True, tag="renewed"):
    """Which of the sessions had already run out, and therefore stay shut."""

    expired: tuple[SessionId, ...]


class Done(Struct, frozen=True, tag="done"):
    """Close and CloseAll: nothing is left. Steer and Probe: it is done."""


class TunnelCounters(Struct, frozen=True):
    """One tunnel, as WireGuard counts."""

    session: SessionId
    received_bytes: int
    sent_bytes: int
    handshake_age_s: float | None
    """None: no handshake yet."""
    endpoint: UdpEndpoint | None = None
    """Where WireGuard sends now: it follows its peer to wherever that was last heard from."""
    reach: tuple[IpText, ...] = ()
    """The technician's gate: under which address each of the Open's `allow` is reached from here,
    in their order. It changes when this computer joins a network that has such an address too;
    empty: none is left."""


class Measured(Struct, frozen=True, tag="measured"):
    """All open tunnels."""

    tunnels: tuple[TunnelCounters, ...]


class DeviceFlow(Struct, frozen=True):
    """What passed between a session and one device: IP packets, their headers counted too."""

    address: IpText
    """The device's real one."""
    to_packets: int
    to_bytes: int
    from_packets: int
    from_bytes: int
    first_age_s: float | None = None
    """How long ago its first packet passed; None: none did."""
    last_age_s: float | None = None


class RefusedFlow(Struct, frozen=True):
    """Where packets of the technician's were going that were not released."""

    address: IpText
    protocol: Annotated[int, msgspec.Meta(ge=0, le=255)]
    """IANA's number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None
    """None: the protocol has none."""
    packets: int


class Flows(Struct, frozen=True, tag="flows"):
    """One session's totals since it was opened. The technician's gate counts nothing."""

    session: SessionId
    devices: tuple[DeviceFlow, ...] = ()
    refused_packets: int = 0
    """All of them, also to destinations that `refused` does not name."""
    refused: Annotated[tuple[RefusedFlow, ...], msgspec.Meta(max_length=MAX_REFUSED)] = ()
    """The destinations most packets were going to, most first."""


class GateError(StrEnum):
    """Why the gate did not do it. Nothing is left half done."""

    MALFORMED = "malformed"
    UNKNOWN_SESSION = "unknown_session"
    SESSION_EXISTS = "session_exists"
    TOO_MANY_SESSIONS = "too_many_sessions"
    OUTSIDE_PLANT_NETWORKS = "outside_plant_networks"
    FORBIDDEN_ADDRESS = "forbidden_address"
    ADDRESS_IN_USE = "address_in_use"
    NO_WIREGUARD = "no_wireguard"
    NO_PRIVILEGE = "no_privilege"
    NO_NFT = "no_nft"
    SYSTEM = "system"


class GateFailed(Struct, frozen=True, tag="failed"):
    """The verb was not carried out."""

    error: GateError
    detail: Text


Result = Prepared | Opened | Renewed | Done | Measured | Flows | GateFailed


class GateReply(Struct, frozen=True, tag="reply"):
    """The answer to the request of the same number."""

    number: RequestNumber
    result: Result


class Tampered(Struct, frozen=True, tag="tampered"):
    """Somebody else changed the rules; all sessions are closed already."""

    detail: Text


class Gone(Struct, frozen=True, tag="gone"):
    """A session's interface vanished under the gate; it is closed already."""

    session: SessionId
    detail: Text


GateFrame = GateReply | Tampered | Gone

_request_decoder: Final[msgspec.json.Decoder[GateRequest]] = msgspec.json.Decoder(GateRequest)
_frame_decoder: Final[msgspec.json.Decoder[GateFrame]] = msgspec.json.Decoder(GateFrame)


def decode_request(line: bytes) -> GateRequest:
    return decode_json(_request_decoder, "gate request", line)


def decode_frame(line: bytes) -> GateFrame:
    return decode_json(_frame_decoder, "gate frame", line)


def encode(message: GateRequest | GateFrame) -> bytes:
    return msgspec.json.encode(message)
