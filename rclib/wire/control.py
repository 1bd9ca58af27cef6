"""Control link: what controld, a gateway and a client tell each other (docs/protocol/control.md).

How the messages cross is in `rclib.wire.link`. All times inside a body that bound something are
meant relative to its Message's `sent_ms`, stamped anew at each transmission: the ends' wall clocks
do not matter.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from rclib.wire.access import AccessMode
from rclib.wire.audit import MAX_BATCH, AuditEvent
from rclib.wire.codec import Struct
from rclib.wire.ids import (
    ChainHash,
    ClientId,
    GatewayId,
    IdentityKey,
    RelayId,
    SessionId,
    Signature,
    TunnelKey,
)
from rclib.wire.session import (
    MAX_TARGETS,
    EndReason,
    LinkAddresses,
    Milliseconds,
    Name,
    PathKind,
    Person,
    Port,
    Reference,
    RefusalReason,
    RegionName,
    Target,
    Text,
)

NetworkText = Annotated[str, msgspec.Meta(max_length=49)]
Url = Annotated[str, msgspec.Meta(max_length=300)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


# Bodies: controld → gateway.


class Peer(Struct, frozen=True):
    """The other end of a session, with the proof that its identity made its tunnel key."""

    identity_key: IdentityKey
    tunnel_key: TunnelKey
    signature: Signature
    """Over `offer_key_statement` (technician) or `answer_key_statement` (gateway)."""


class RelayLeg(Struct, frozen=True):
    """One relay of the session's region, with this end's admission to it."""

    relay: RelayId
    url: Url
    token: Token
    region: Annotated[str, msgspec.Meta(max_length=40)] = ""


class StunServer(Struct, frozen=True):
    """Where an end learns under which address the internet sees it."""

    host: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9.:-]{1,255}\Z")]
    port: Port


StunServers = Annotated[tuple[StunServer, ...], msgspec.Meta(max_length=4)]


class Technician(Struct, frozen=True):
    """Who wants in, as the control plane knows them."""

    client: ClientId
    user: Name
    organisation: Name
    source: Annotated[str, msgspec.Meta(max_length=45)] = ""
    """The network address Start was pressed from, as the control plane saw it."""


class SessionOffer(Struct, frozen=True, tag="session_offer"):
    """A technician wants to start; the gateway answers or refuses."""

    session: SessionId
    name: Name
    technician: Technician
    peer: Peer
    link: LinkAddresses
    targets: Annotated[tuple[Target, ...], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)]
    relays: Annotated[tuple[RelayLeg, ...], msgspec.Meta(min_length=1, max_length=8)]
    lease_until_ms: Milliseconds
    not_after_ms: Milliseconds
    """Absolute end, whatever is renewed."""
    reason: Text = ""
    stun: StunServers = ()
    reference: Reference = ""
    idle_timeout_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    """Ends without packets for this long; 0: never."""
    needs_release: bool = False
    """The plant is to release this start on its page; it may want that of every start anyway."""


class LeaseRenewal(Struct, frozen=True, tag="lease_renewal"):
    """The session may go on; also carries fresh admissions. To both ends."""

    session: SessionId
    lease_until_ms: Milliseconds
    relays: Annotated[tuple[RelayLeg, ...], msgspec.Meta(max_length=8)]


class SessionEnd(Struct, frozen=True, tag="session_end"):
    """End this session now. From controld to both ends; from a client: its user stops."""

    session: SessionId
    reason: EndReason


# Bodies: gateway → controld.


class RegionRtt(Struct, frozen=True):
    """How far a gateway is from a region."""

    region: RegionName
    rtt_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)]
    """Median of the newest TCP connects to one of its relays."""
    age_s: Annotated[int, msgspec.Meta(ge=0)]
    """Since the newest of them."""


class GatewayState(Struct, frozen=True, tag="gateway_state"):
    """First message on a gateway's link, and at each change. OFF is not sent: no link then."""

    access: AccessMode
    until_ms: Milliseconds | None = None
    plant_networks: Annotated[tuple[NetworkText, ...], msgspec.Meta(max_length=64)] = ()
    sessions: Annotated[tuple[SessionId, ...], msgspec.Meta(max_length=256)] = ()
    """What is open here; controld ends what it does not know and drops what is missing."""
    pinned_region: RegionName | None = None
    """Where its relays are to be, whatever is nearer; the plant's setting."""
    regions: Annotated[tuple[RegionRtt, ...], msgspec.Meta(max_length=16)] = ()


class ReleasePending(Struct, frozen=True, tag="release_pending"):
    """The offer waits for a person at the plant, at most this long."""

    session: SessionId
    wait_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    identity_key: IdentityKey
    """The gateway's; with the technician's own it gives the check phrase, and the grant is bound to
    it."""


class SessionRelease(Struct, frozen=True, tag="session_release"):
    """A person at the plant has released the start; the answer follows."""

    session: SessionId
    by: Person
    until_ms: Milliseconds
    """Absolute end in the control plane's time; at most the offer's `not_after_ms`."""
    signature: Signature
    """Of the gateway's identity, over `identity.release_statement`."""


class SessionAnswer(Struct, frozen=True, tag="session_answer"):
    """The gateway's side is open and waits for the technician's handshake."""

    session: SessionId
    tunnel_key: TunnelKey
    signature: Signature


class SessionRefusal(Struct, frozen=True, tag="session_refusal"):
    """The gateway does not take part; also controld's word to a client whose start fails."""

    session: SessionId
    reason: RefusalReason
    detail: Text = ""


class SessionProgress(Struct, frozen=True, tag="session_progress"):
    """The path in use changed. Relay or direct means: a WireGuard handshake succeeded."""

    session: SessionId
    path: PathKind


class SessionEnded(Struct, frozen=True, tag="session_ended"):
    """This end has closed the session; nothing of it is left here."""

    session: SessionId
    reason: EndReason


class AuditBatch(Struct, frozen=True, tag="audit_batch"):
    """Spooled events in order. The Ack means: stored durably."""

    events: Annotated[tuple[AuditEvent, ...], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


# Bodies: gateway ⇄ controld.


class AuditHead(Struct, frozen=True, tag="audit_head"):
    """How far controld's record reaches, signed; a gateway keeps it and says it back on each link.

    A record that is cut off or exchanged later does not fit what the gateways keep.
    """

    log_key: IdentityKey
    """Of the record, not of controld's links; the first one a gateway hears is pinned."""
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    at_ms: Milliseconds
    chain_hash: ChainHash
    """Of row `seq`."""
    signature: Signature
    """Over `audit_head_statement`, by `log_key`."""


# Bodies: client ⇄ controld.


class TicketRedeem(Struct, frozen=True, tag="ticket_redeem"):
    """The browser's one-time ticket, with this session's fresh key."""

    session: SessionId
    ticket: Annotated[str, msgspec.Meta(min_length=8, max_length=80)]
    tunnel_key: TunnelKey
    signature: Signature


class SessionRelays(Struct, frozen=True, tag="session_relays"):
    """The gateway is asked; its answer takes a while, in which the relays can be dialled."""

    session: SessionId
    relays: Annotated[tuple[RelayLeg, ...], msgspec.Meta(min_length=1, max_length=8)]


class SessionGrant(Struct, frozen=True, tag="session_grant"):
    """The technician's end may open: the gateway has answered."""

    session: SessionId
    name: Name
    gateway: GatewayId
    gateway_name: Name
    peer: Peer
    link: LinkAddresses
    targets: Annotated[tuple[Target, ...], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)]
    relays: Annotated[tuple[RelayLeg, ...], msgspec.Meta(min_length=1, max_length=8)]
    lease_until_ms: Milliseconds
    not_after_ms: Milliseconds
    stun: StunServers = ()


# Bodies: end → controld → the other end.


class PathSignal(Struct, frozen=True, tag="path_signal"):
    """Handed on to the session's other end as it is: a signal's second way."""

    session: SessionId
    payload: Annotated[bytes, msgspec.Meta(min_length=64, max_length=4096)]


Body = (
    SessionOffer
    | LeaseRenewal
    | SessionEnd
    | GatewayState
    | ReleasePending
    | SessionRelease
    | SessionAnswer
    | SessionRefusal
    | SessionProgress
    | SessionEnded
    | AuditBatch
    | AuditHead
    | TicketRedeem
    | SessionRelays
    | SessionGrant
    | PathSignal
)


def remaining_s(until_ms: int, sent_ms: int) -> float:
    """Seconds from a message's transmission to a bound inside it; 0 for past, zero or absurd."""
    return max(0.0, (until_ms - sent_ms) / 1000) if until_ms > 0 and sent_ms > 0 else 0.0
