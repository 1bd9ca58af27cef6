"""What controld knows, as values: the rows of the store without the database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controld.maintenance import Window
    from controld.roles import Role
    from rclib.wire.audit import AuditAction
    from rclib.wire.ids import (
        ClientId,
        DeviceId,
        EndpointId,
        GatewayId,
        IdentityKey,
        OrganisationId,
        SessionId,
        Signature,
        TunnelKey,
        UserId,
    )
    from rclib.wire.session import EndReason, PathKind, Protocol, Target


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, as the record shows it."""

    id: str
    """A user's or endpoint's id; `controld` for the program itself."""
    name: str = ""
    source: str = ""
    """The network address the request came from."""


CONTROLD = Actor("controld", "controld")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing to go on record, before it has a number."""

    action: AuditAction
    organisation: OrganisationId | None
    actor: Actor = CONTROLD
    session: SessionId | None = None
    subject: str = ""
    """The id of what was changed."""
    detail: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    id: OrganisationId
    name: str
    is_operator: bool
    """Whose administrators run this control plane: they make the other organisations."""
    revision: int
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: UserId
    organisation: OrganisationId
    name: str
    role: Role
    password_hash: str
    must_change_password: bool
    disabled: bool
    created_ms: int
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    id: GatewayId
    organisation: OrganisationId
    name: str
    identity_key: IdentityKey | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    id: ClientId
    organisation: OrganisationId
    user: UserId
    name: str
    identity_key: IdentityKey | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkIdentity:
    """What a control link has to prove, and whom it then stands for."""

    endpoint: EndpointId
    organisation: OrganisationId
    name: str
    key: IdentityKey
    user: UserId | None
    """The owner of a technician's PC; None for a gateway."""
    shut_out: str
    """Why it gets no link, whatever it proves; empty: it does."""
    audit_seq: int
    claim: int = 0
    """Which of the endpoint's links this is; counted where several controlds share a database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    protocol: Protocol
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: DeviceId
    gateway: GatewayId
    name: str
    address: str
    virtual: str | None
    """Its own among all devices of this control plane; None: it has an IPv6 address."""
    source_nat: bool
    """Whether it sees the gateway's address, or the technician's link address."""
    services: tuple[Service, ...]


class ReleasePolicy(StrEnum):
    """Whose word a start needs, besides that of the administrator who prepared it."""

    OPEN = "open"
    FOUR_EYES = "four_eyes"
    PLANT_RELEASE = "plant_release"


class ReasonPolicy(StrEnum):
    """Whether a start says why."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPolicy:
    """What holds for every session at one gateway."""

    release: ReleasePolicy
    reason: ReasonPolicy
    max_sessions: int
    """Open at once."""
    max_duration_s: int
    idle_timeout_s: int
    """A session without packets ends after this; 0: never."""
    time_zone: str
    windows: tuple[Window, ...]
    """None: at any time."""
    revision: int = 1


class SessionState(StrEnum):
    """Where a session stands; `lifecycle` says how it gets there."""

    PREPARED = "prepared"
    REQUESTED = "requested"
    RELEASED = "released"
    STARTING = "starting"
    ACTIVE = "active"
    ENDED = "ended"
    REFUSED = "refused"
    EXPIRED = "expired"


WAITING_STATES = (SessionState.PREPARED, SessionState.REQUESTED, SessionState.RELEASED)
OPEN_STATES = (SessionState.STARTING, SessionState.ACTIVE)
FINAL_STATES = (SessionState.ENDED, SessionState.REFUSED, SessionState.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All times are UTC milliseconds."""

    id: SessionId
    organisation: OrganisationId
    gateway: GatewayId
    gateway_name: str
    name: str
    reason: str
    duration_s: int
    window_from_ms: int | None
    window_until_ms: int | None
    created_by: UserId
    created_ms: int
    state: SessionState
    targets: tuple[Target, ...]
    users: tuple[UserId, ...]
    reference: str = ""
    revision: int = 1
    """Of what people decide about it: plan and release."""
    # Of a release; gone as soon as devices, ports, users or times change.
    requested_by: UserId | None = None
    requested_ms: int | None = None
    released_by: str | None = None
    """The second person's UserId (four_eyes), or whom the plant's page names (plant_release)."""
    released_ms: int | None = None
    release_signature: Signature | None = None
    """Of the gateway's identity, for a release by the plant."""
    # From the start on; back to None when an unused ticket expires.
    started_by: UserId | None = None
    started_ms: int | None = None
    started_from: str = ""
    """The network address Start was pressed from."""
    redeem_by_ms: int | None = None
    not_after_ms: int | None = None
    # From the redeemed ticket on.
    client: ClientId | None = None
    technician_key: TunnelKey | None = None
    technician_signature: Signature | None = None
    link_pair: int | None = None
    """Which pair of LINK_NETWORK the two ends have."""
    region: str = ""
    """Where its relays are."""
    asked_plant: bool = False
    """The gateway has said that a person there is to release the start."""
    answer_by_ms: int | None = None
    lease_until_ms: int | None = None
    # From the gateway's answer on.
    answered: bool = False
    path: PathKind | None = None
    # At the end.
    ended_ms: int | None = None
    end_reason: EndReason | None = None
