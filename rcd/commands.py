"""What the session core wants done. A closed set; `rcd.effects` carries each out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclib.wire.audit import AuditAction
    from rclib.wire.control import Body, RelayLeg, SessionOffer
    from rclib.wire.ids import EndpointId, IdentityKey, SessionId, TunnelKey


@dataclass(frozen=True, slots=True)
class PinIdentity:
    """Remember the technician's identity, durably, before anything opens."""

    endpoint: EndpointId
    key: IdentityKey


@dataclass(frozen=True, slots=True)
class PrepareTunnel:
    """Ask the gate for a fresh key; answered by `Sessions.prepared` or `refused_by_gate`."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    """Dial the relays and ask the gate to open; answered by `opened` or `refused_by_gate`."""

    offer: SessionOffer


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """Tell the control plane our key, signed by our identity."""

    offer: SessionOffer
    tunnel_key: TunnelKey


@dataclass(frozen=True, slots=True)
class SendRelease:
    """Tell the control plane that a person here released it, signed by our identity."""

    offer: SessionOffer
    by: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class RenewRelays:
    """Use fresh admissions from now on."""

    session: SessionId
    relays: tuple[RelayLeg, ...]


@dataclass(frozen=True, slots=True)
class ProbeTunnel:
    """Have our WireGuard say something, with a handshake of its own if no key is left."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class CloseTunnel:
    """Remove everything of the session, gate first."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the control plane."""

    body: Body


@dataclass(frozen=True, slots=True)
class Record:
    """Put on record."""

    action: AuditAction
    session: SessionId
    actor: str = ""
    detail: dict[str, str] = field(default_factory=dict)


Command = (
    PinIdentity
    | PrepareTunnel
    | OpenTunnel
    | SendRelease
    | SendAnswer
    | RenewRelays
    | ProbeTunnel
    | CloseTunnel
    | Tell
    | Record
)
