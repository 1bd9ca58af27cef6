"""Local API of rcd, on a Unix socket: what the AMS page may see and do (docs/protocol/local.md).

One JSON object per line, one answer per request, in order. No verb here can be reached from the
network; no message from the network can do what SetAccess does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.access import MAX_ON_S, AccessMode
from rclib.wire.codec import Struct, decode_json
from rclib.wire.control import Url
from rclib.wire.control_http import MAX_SERVERS, EnrolmentCode
from rclib.wire.gate import DeviceFlow
from rclib.wire.ids import ClientId, EndpointId, IdentityKey, SessionId
from rclib.wire.session import (
    Milliseconds,
    Name,
    PathKind,
    PathStatus,
    Person,
    Reference,
    Target,
    Text,
)

Actor = Person
"""Who pressed, as the page knows them: its account and the browser's address."""
MAX_FLOWS: Final = 16
"""Devices whose traffic one session's status tells."""
CHECK_S: Final = 20
CHECK_EVERY_S: Final = 10
MAX_CHECKS: Final = 2 * (2 + MAX_SERVERS + 4) + 1
"""A name and a way for each server there can be, the proxy's name, and the clock."""
MIN_RELEASE_S: Final = 60
MAX_RELEASE_S: Final = 7 * 24 * 3600


class GetStatus(Struct, frozen=True, tag="get_status"):
    """What is going on right now."""


class SetAccess(Struct, frozen=True, tag="set_access"):
    """Turn the switch. Answered when it is done: after OFF, everything is closed."""

    mode: AccessMode
    by: Actor
    duration_s: Annotated[int, msgspec.Meta(ge=60, le=MAX_ON_S)] | None = None
    """With ON_UNTIL only."""


class EndSession(Struct, frozen=True, tag="end_session"):
    """Close one session. Answered when it is closed."""

    session: SessionId
    by: Actor


class Release(Struct, frozen=True, tag="release"):
    """Let a waiting technician in. Answered when it is signed and on record."""

    session: SessionId
    by: Actor
    duration_s: Annotated[int, msgspec.Meta(ge=MIN_RELEASE_S, le=MAX_RELEASE_S)] | None = None
    """Shorter than asked for, if the plant wants that; never longer."""


class Refuse(Struct, frozen=True, tag="refuse"):
    """Turn a waiting technician away."""

    session: SessionId
    by: Actor


class Enrol(Struct, frozen=True, tag="enrol"):
    """Make this gateway known to a control plane, by a code its administrator issued."""

    server: Url
    code: EnrolmentCode
    by: Actor


class CheckConnection(Struct, frozen=True, tag="check_connection"):
    """Find out what this gateway reaches; answered by a CheckReport within CHECK_S.

    The one thing that sends packets while access is OFF, because a person at the plant wants it,
    and it goes on record before the first of them. One at a time, with CHECK_EVERY_S in between.
    """

    by: Actor
    server: Url | None = None
    """Before enrolment: whose servers; an enrolled gateway asks its own."""


class ReadJournal(Struct, frozen=True, tag="read_journal"):
    """The gateway's own signed record, oldest first; answered by a JournalPage."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """Only events with a higher number."""


class LoginOutcome(StrEnum):
    """What happened at the page's door."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event


class RecordLogin(Struct, frozen=True, tag="record_login"):
    """The page's own security events, for the gateway's record."""

    outcome: LoginOutcome
    by: Actor


Request = (
    GetStatus
    | SetAccess
    | EndSession
    | Release
    | Refuse
    | Enrol
    | CheckConnection
    | ReadJournal
    | RecordLogin
)


class LinkState(StrEnum):
    """The control link, as seen from the gateway."""

    NOT_ENROLLED = "not_enrolled"
    OFF = "off"
    CONNECTING = "connecting"
    ONLINE = "online"


class GateState(StrEnum):
    """Whether the gate answers."""

    READY = "ready"
    UNREACHABLE = "unreachable"


class KeySwitchState(StrEnum):
    """The key switch at the gateway, without which access is never ON."""

    NONE = "none"
    """There is none; nothing depends on it."""
    ON = "on"
    OFF = "off"
    FAULT = "fault"
    """It cannot be read, which counts as OFF."""


class SessionStatus(Struct, frozen=True):
    """One open session."""

    session: SessionId
    name: Name
    user: Name
    organisation: Name
    reason: Text
    targets: tuple[Target, ...]
    path: PathKind
    since_ms: Milliseconds
    lease_remaining_s: float
    remaining_s: float
    received_bytes: int
    sent_bytes: int
    path_details: PathStatus | None = None
    reference: Reference = ""
    released_by: str = ""
    """Who released it on this page; empty where no release was wanted."""
    flows: Annotated[tuple[DeviceFlow, ...], msgspec.Meta(max_length=MAX_FLOWS)] = ()
    """The devices most bytes passed to and from, most first."""
    refused_packets: int = 0
    """What the technician tried beyond the targets, or his computer by itself."""


class WaitingRelease(Struct, frozen=True):
    """A technician who may come in only when the plant says so."""

    session: SessionId
    name: Name
    user: Name
    organisation: Name
    client: ClientId
    identity_key: IdentityKey
    """Of the technician's computer; with Status.identity_key it gives the check phrase."""
    is_known: bool
    """Whether this computer was here before, with this identity."""
    source: str
    """The address Start was pressed from, as the control plane says; may be empty."""
    reason: Text
    reference: Reference
    targets: tuple[Target, ...]
    since_ms: Milliseconds
    duration_s: float
    """How long the session may last if it is released now."""
    remaining_s: float
    """How long it still waits for an answer."""


class Status(Struct, frozen=True, tag="status"):
    """Answer to GetStatus, and to the verbs that change something, when that is done."""

    access: AccessMode
    is_on: bool
    remaining_s: float | None
    """Of ON_UNTIL."""
    changed_by: str
    changed_ms: Milliseconds
    link: LinkState
    gate: GateState
    fingerprint: str
    """Of this gateway's identity key."""
    link_detail: Text = ""
    gate_detail: Text = ""
    endpoint: EndpointId | None = None
    name: str = ""
    organisation: str = ""
    server: str = ""
    identity_key: IdentityKey | None = None
    """Of this gateway; what its journal is signed with."""
    journal_seq: int = 0
    """Number of the newest event in the journal."""
    sessions: tuple[SessionStatus, ...] = ()
    waiting: tuple[WaitingRelease, ...] = ()
    """In the order they came; not in `sessions` before they are released."""
    release_required: bool = False
    """This gateway's own rule, whatever the control plane wants."""
    key_switch: KeySwitchState = KeySwitchState.NONE
    key_switch_detail: Text = ""
    """Why it cannot be read."""


class JournalPage(Struct, frozen=True, tag="journal_page"):
    """Answer to ReadJournal."""

    lines: tuple[str, ...]
    """As they stand on disk (`rclib.wire.journal`); none: there is nothing newer."""


class CheckPart(StrEnum):
    """What was tried."""

    NAME = "name"
    """The plant's DNS knows the host."""
    CONTROL = "control"
    """TCP and TLS to the control plane, and its answer."""
    RELAY = "relay"
    """TCP and TLS to a relay."""
    STUN = "stun"
    """UDP to a STUN server and back."""
    CLOCK = "clock"
    """The gateway's time of day beside the control plane's."""


class CheckOutcome(StrEnum):
    """What came of it."""

    GOOD = "good"
    SILENT = "silent"
    """No answer in time: what a firewall that drops looks like."""
    REFUSED = "refused"
    """Turned down or cut off: by a firewall that says so, or by the server."""
    UNREACHABLE = "unreachable"
    """This machine has no way there: no cable, no address, no route."""
    UNKNOWN = "unknown"
    """DNS says that there is no such name."""
    FOREIGN = "foreign"
    """Somebody answers, and it is not this server: TLS is opened on the way, or it broke."""
    OUT_OF_DATE = "out_of_date"
    """The certificate is not valid at this machine's time of day."""
    STRANGE = "strange"
    """The right server, but not the right answer."""
    PROXY = "proxy"
    """The HTTP proxy refuses."""
    OFF = "off"
    """Of the clock: it is wrong."""
    SKIPPED = "skipped"
    """It needs what failed before it."""


class Check(Struct, frozen=True):
    """One thing tried, with its outcome."""

    part: CheckPart
    host: str
    port: int
    """0: it has none."""
    outcome: CheckOutcome
    detail: Text = ""
    """In the words of whoever noticed; for STUN, how the internet sees this gateway."""
    offset_s: float | None = None
    """How far this gateway's clock is ahead of the control plane's, where that is known."""


class CheckReport(Struct, frozen=True, tag="check_report"):
    """Answer to CheckConnection."""

    server: Url
    at_ms: Milliseconds
    checks: Annotated[tuple[Check, ...], msgspec.Meta(max_length=MAX_CHECKS)]
    proxy: str = ""
    """HOST:PORT of the HTTP proxy that stands for control plane and relays; empty: none."""


class RequestError(StrEnum):
    """Why a request was not carried out."""

    MALFORMED = "malformed"
    UNKNOWN_SESSION = "unknown_session"
    NOT_WAITING = "not_waiting"
    STORAGE = "storage"
    ENROL_FAILED = "enrol_failed"
    ALREADY_ENROLLED = "already_enrolled"
    NOT_ENROLLED = "not_enrolled"
    TOO_SOON = "too_soon"
    INTERNAL = "internal"


class Failed(Struct, frozen=True, tag="failed"):
    """Nothing was changed, unless the detail says otherwise."""

    error: RequestError
    detail: Text


Response = Status | JournalPage | CheckReport | Failed

_request_decoder: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_response_decoder: Final[msgspec.json.Decoder[Response]] = msgspec.json.Decoder(Response)


def decode_request(line: bytes) -> Request:
    return decode_json(_request_decoder, "request", line)


def decode_response(line: bytes) -> Response:
    return decode_json(_response_decoder, "response", line)


def encode(message: Request | Response) -> bytes:
    return msgspec.json.encode(message)
