"""What the API takes and gives. Unknown fields are refused; times are UTC milliseconds."""

from __future__ import annotations

from typing import Annotated

import msgspec

from controld.records import SessionState
from controld.roles import Role
from rclib.wire.access import AccessMode
from rclib.wire.codec import Struct
from rclib.wire.ids import ClientId, DeviceId, GatewayId, OrganisationId, SessionId, UserId
from rclib.wire.session import (
    MAX_TARGETS,
    EndReason,
    IpText,
    Milliseconds,
    Name,
    PathKind,
    Port,
    Protocol,
    Reference,
    Target,
    Text,
)

_EDGE = r"[^\s\x00-\x1f\x7f]"
PlainName = Annotated[
    str, msgspec.Meta(pattern=rf"\A{_EDGE}(?:[^\x00-\x1f\x7f]{{0,78}}{_EDGE})?\Z")
]
"""1 to 80 characters without control characters, nor spaces at the ends."""
DurationSeconds = Annotated[int, msgspec.Meta(ge=60, le=7 * 86_400)]
Password = Annotated[str, msgspec.Meta(max_length=256)]


class LoginRequest(Struct, frozen=True):
    name: Name
    password: Password
    code: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """Of the authenticator app, or a recovery code; where one is needed the refusal says so."""
    device: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """What an earlier login on this device was given: its failures are counted by themselves."""


class LoginResponse(Struct, frozen=True):
    token: str
    user: UserId
    role: Role
    must_change_password: bool
    expires_ms: Milliseconds
    device: str
    """To be said at the next login on this device; a secret of the user and this device."""
    failed_logins: int
    """How often somebody failed to log in as this user since the last login."""


class ReauthRequest(Struct, frozen=True):
    """Who is logged in shows once more that they are who they are."""

    password: Password


class TotpStarted(Struct, frozen=True):
    secret: str
    uri: str
    """The same as otpauth://, for a QR code."""


class TotpCode(Struct, frozen=True):
    code: Annotated[str, msgspec.Meta(min_length=6, max_length=6)]


class RecoveryCodes(Struct, frozen=True):
    """Each opens once, in place of a code; shown only now."""

    codes: tuple[str, ...]


class FactorsView(Struct, frozen=True):
    totp: bool
    recovery_codes_left: int


class PasswordRequest(Struct, frozen=True):
    old: Password
    new: Password


class UserRequest(Struct, frozen=True):
    name: PlainName
    role: Role


class UserChange(Struct, frozen=True):
    role: Role


class UserView(Struct, frozen=True):
    id: UserId
    name: str
    role: Role
    disabled: bool
    created_ms: Milliseconds
    revision: int


class UserCreated(Struct, frozen=True):
    user: UserId
    password: str
    """One-time: to be changed at the first login."""


class UserList(Struct, frozen=True):
    users: tuple[UserView, ...]


class NameRequest(Struct, frozen=True):
    name: PlainName


class GatewayView(Struct, frozen=True):
    id: GatewayId
    name: str
    enrolled: bool
    online: bool
    access: AccessMode | None
    """None while offline; a gateway that is OFF is offline."""
    access_until_ms: Milliseconds | None
    fingerprint: str | None
    plant_networks: tuple[str, ...]
    software: str | None
    """What the gateway calls its version; None while offline."""
    created_ms: Milliseconds


class GatewayList(Struct, frozen=True):
    gateways: tuple[GatewayView, ...]


class GatewayEnrolment(Struct, frozen=True):
    gateway: GatewayId
    enrolment_code: str
    expires_ms: Milliseconds


class ServiceView(Struct, frozen=True):
    protocol: Protocol
    port: Port | None = None


class DeviceRequest(Struct, frozen=True):
    name: PlainName
    address: IpText
    services: Annotated[tuple[ServiceView, ...], msgspec.Meta(min_length=1, max_length=64)]
    source_nat: bool = True
    """False: the device sees the technician's link address, and needs a route to 100.64.0.0/11."""


class DeviceView(Struct, frozen=True):
    id: DeviceId
    name: str
    address: str
    virtual: str | None
    """Reaches it from wherever its own address is in use already."""
    source_nat: bool
    services: tuple[ServiceView, ...]


class DeviceList(Struct, frozen=True):
    devices: tuple[DeviceView, ...]


class ClientView(Struct, frozen=True):
    id: ClientId
    name: str
    enrolled: bool
    online: bool
    created_ms: Milliseconds


class ClientList(Struct, frozen=True):
    clients: tuple[ClientView, ...]


class ClientEnrolment(Struct, frozen=True):
    client: ClientId
    enrolment_code: str
    expires_ms: Milliseconds


class TargetRequest(Struct, frozen=True):
    device: DeviceId
    protocol: Protocol
    port: Port | None = None


class SessionRequest(Struct, frozen=True):
    name: PlainName
    gateway: GatewayId
    targets: Annotated[
        tuple[TargetRequest, ...], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)
    ]
    users: Annotated[tuple[UserId, ...], msgspec.Meta(max_length=256)] = ()
    duration_s: DurationSeconds = 14_400
    reason: Text = ""
    reference: Reference = ""
    window_from_ms: Milliseconds | None = None
    window_until_ms: Milliseconds | None = None


class SessionChange(Struct, frozen=True):
    """The whole plan; a release given for another one is void."""

    name: PlainName
    targets: Annotated[
        tuple[TargetRequest, ...], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)
    ]
    users: Annotated[tuple[UserId, ...], msgspec.Meta(max_length=256)]
    duration_s: DurationSeconds
    reason: Text = ""
    reference: Reference = ""
    window_from_ms: Milliseconds | None = None
    window_until_ms: Milliseconds | None = None


class StartRequest(Struct, frozen=True):
    reason: Text = ""
    reference: Reference = ""


class SessionView(Struct, frozen=True):
    id: SessionId
    organisation: OrganisationId
    name: str
    gateway: GatewayId
    gateway_name: str
    gateway_online: bool
    state: SessionState
    path: PathKind | None
    targets: tuple[Target, ...]
    users: tuple[UserId, ...]
    duration_s: int
    reason: str
    reference: str
    revision: int
    client: ClientId | None
    """The computer that took the start over; None: none has yet."""
    waits_for_plant: bool
    requested_by: UserId | None
    requested_ms: Milliseconds | None
    released_by: str | None
    released_ms: Milliseconds | None
    window_from_ms: Milliseconds | None
    window_until_ms: Milliseconds | None
    created_by: UserId
    created_ms: Milliseconds
    started_by: UserId | None
    started_ms: Milliseconds | None
    not_after_ms: Milliseconds | None
    ended_ms: Milliseconds | None
    end_reason: EndReason | None


class SessionList(Struct, frozen=True):
    """Newest first."""

    sessions: tuple[SessionView, ...]
    next: str | None = None
    """What to ask for as `cursor` to get those behind; None: there are none."""


class SessionLink(Struct, frozen=True):
    link: str
    """For the browser to open: remoteconnect://HOST:PORT/connect?session=…&ticket=…"""
    expires_ms: Milliseconds


class AuditRecord(Struct, frozen=True):
    seq: int
    at_ms: Milliseconds
    actor: str
    actor_name: str
    source: str
    action: str
    session: str | None
    subject: str
    detail: dict[str, str]
    endpoint: str | None
    endpoint_seq: int | None
    endpoint_at_ms: Milliseconds | None
    endpoint_gap: int
    """How many of the endpoint's events before this one have never come."""


class AuditPage(Struct, frozen=True):
    records: tuple[AuditRecord, ...]
    next_after: int
    """What to ask for `after` next."""


class LatestRecords(Struct, frozen=True):
    """Newest first."""

    records: tuple[AuditRecord, ...]
    next_before: int | None
    """What to ask for `before` next; None: there are no older ones."""
