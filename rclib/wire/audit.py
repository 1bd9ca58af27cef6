"""What goes on record: a closed vocabulary, stated by the end that did it.

Gateways and clients number their own events and spool them on disk; the control plane stores
each (endpoint, seq) once, so that a gap shows and a repetition changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.ids import SessionId
from rclib.wire.session import Milliseconds

MAX_BATCH = 100


class AuditAction(StrEnum):
    """Everything that can stand in the record. `docs/protocol/control.md` says who writes it."""

    # The control plane.
    CONTROLD_INITIALISED = "controld_initialised"
    LOGIN_SUCCEEDED = "login_succeeded"
    LOGIN_FAILED = "login_failed"
    LOGIN_LOCKED = "login_locked"
    LOGGED_OUT = "logged_out"
    SECOND_FACTOR_ADDED = "second_factor_added"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    PROVIDER_LINKED = "provider_linked"
    PROVIDER_UNLINKED = "provider_unlinked"
    RECOVERY_CODE_USED = "recovery_code_used"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    ORGANISATION_CREATED = "organisation_created"
    ORGANISATION_RENAMED = "organisation_renamed"
    USER_CREATED = "user_created"
    USER_ROLE_CHANGED = "user_role_changed"
    TOKEN_CREATED = "token_created"  # noqa: S105 - the name of an event
    TOKEN_REMOVED = "token_removed"  # noqa: S105 - the name of an event
    USER_DISABLED = "user_disabled"
    GATEWAY_CREATED = "gateway_created"
    POLICY_CHANGED = "policy_changed"
    CLIENT_CREATED = "client_created"
    ENROLMENT_ISSUED = "enrolment_issued"
    ENROLMENT_REDEEMED = "enrolment_redeemed"
    ENROLMENT_REFUSED = "enrolment_refused"
    DEVICE_CREATED = "device_created"
    DEVICE_REMOVED = "device_removed"
    SESSION_PREPARED = "session_prepared"
    SESSION_CHANGED = "session_changed"
    SESSION_START_REFUSED = "session_start_refused"
    SESSION_STARTED = "session_started"
    TICKET_REDEEMED = "ticket_redeemed"
    TICKET_REFUSED = "ticket_refused"
    SESSION_ACTIVE = "session_active"
    SESSION_ENDED = "session_ended"
    PERMISSION_DENIED = "permission_denied"
    AUDITOR_READ = "auditor_read"
    RECORD_EXPORTED = "record_exported"
    LINK_OPENED = "link_opened"
    LINK_REFUSED = "link_refused"
    LINK_CLOSED = "link_closed"
    AUDIT_HEAD_CONFLICT = "audit_head_conflict"
    BACKUP_RESTORED = "backup_restored"
    # The gateway.
    GATEWAY_STARTED = "gateway_started"
    ACCESS_CHANGED = "access_changed"
    ACCESS_EXPIRED = "access_expired"
    KEY_SWITCH_TURNED = "key_switch_turned"
    OFFER_ACCEPTED = "offer_accepted"
    OFFER_REFUSED = "offer_refused"
    RELEASE_REQUESTED = "release_requested"
    SESSION_RELEASED = "session_released"
    RELEASE_REFUSED = "release_refused"
    IDENTITY_PINNED = "identity_pinned"
    TUNNEL_OPENED = "tunnel_opened"
    PATH_CHANGED = "path_changed"
    TUNNEL_CLOSED = "tunnel_closed"
    FLOW_RECORDED = "flow_recorded"
    PACKETS_REFUSED = "packets_refused"
    RULESET_MISMATCH = "ruleset_mismatch"
    AUDIT_HEAD_REFUSED = "audit_head_refused"
    CONNECTION_CHECKED = "connection_checked"
    AMS_LOGIN_SUCCEEDED = "ams_login_succeeded"
    AMS_LOGIN_FAILED = "ams_login_failed"
    AMS_PASSWORD_CHANGED = "ams_password_changed"  # noqa: S105 - the name of an event


MAX_DETAIL: Final = 500
Detail = Annotated[str, msgspec.Meta(max_length=MAX_DETAIL)]


class AuditEvent(Struct, frozen=True):
    """One event of a gateway or client."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    """Gap-free per endpoint, from 1."""
    at_ms: Milliseconds
    action: AuditAction
    session: SessionId | None = None
    actor: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Who caused it, as the endpoint knows them; empty for the endpoint itself."""
    detail: Annotated[dict[str, Detail], msgspec.Meta(max_length=20)] = msgspec.field(
        default_factory=dict
    )


_event_decoder: Final = msgspec.json.Decoder(AuditEvent)


def encode_event(event: AuditEvent) -> bytes:
    """One line of a spool: canonical (sorted keys), so that its digest is well defined."""
    return msgspec.json.encode(event, order="sorted")


def decode_event(line: bytes) -> AuditEvent:
    return decode_json(_event_decoder, "audit event", line)
