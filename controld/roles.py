"""Who may do what: one table, deny by default, no exceptions elsewhere."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """What a user is in their organisation."""

    ADMINISTRATOR = "administrator"
    RC_ADMINISTRATOR = "rc_administrator"
    RC_USER = "rc_user"
    AUDITOR = "auditor"
    """Reads sessions and the record; each look is recorded."""


class Action(StrEnum):
    """What the table decides about."""

    ADD_GATEWAYS = "add_gateways"  # and their devices
    SEE_GATEWAYS = "see_gateways"
    MANAGE_USERS = "manage_users"
    SEE_USERS = "see_users"
    MANAGE_ORGANISATIONS = "manage_organisations"  # one's own; the operator's make others
    ENROL_CLIENT = "enrol_client"  # the caller's own PC
    PREPARE_SESSIONS = "prepare_sessions"
    CHANGE_SESSION_DEVICES = "change_session_devices"
    RELEASE_SESSIONS = "release_sessions"  # as the second person of `four_eyes`
    START_SESSIONS = "start_sessions"
    END_SESSIONS = "end_sessions"
    SEE_SESSIONS = "see_sessions"
    READ_AUDIT = "read_audit"


class Scope(StrEnum):
    """How far a right reaches inside the organisation; never beyond it."""

    NONE = "none"
    OWN = "own"  # released for, or started by, the user
    ALL = "all"


_A, _R, _U, _I = Role.ADMINISTRATOR, Role.RC_ADMINISTRATOR, Role.RC_USER, Role.AUDITOR

_TABLE: Final[Mapping[Action, Mapping[Role, Scope]]] = MappingProxyType(
    {
        Action.ADD_GATEWAYS: {_A: Scope.ALL},
        Action.SEE_GATEWAYS: {_A: Scope.ALL, _R: Scope.ALL},
        Action.MANAGE_USERS: {_A: Scope.ALL},
        Action.SEE_USERS: {_A: Scope.ALL, _R: Scope.ALL},
        Action.MANAGE_ORGANISATIONS: {_A: Scope.ALL},
        Action.ENROL_CLIENT: {_A: Scope.OWN, _R: Scope.OWN, _U: Scope.OWN},
        Action.PREPARE_SESSIONS: {_A: Scope.ALL, _R: Scope.ALL},
        Action.CHANGE_SESSION_DEVICES: {_A: Scope.ALL, _R: Scope.ALL},
        Action.RELEASE_SESSIONS: {_A: Scope.ALL, _R: Scope.ALL},
        Action.START_SESSIONS: {_A: Scope.ALL, _R: Scope.ALL, _U: Scope.OWN},
        Action.END_SESSIONS: {_A: Scope.ALL, _R: Scope.ALL, _U: Scope.OWN},
        Action.SEE_SESSIONS: {_A: Scope.ALL, _R: Scope.ALL, _U: Scope.OWN, _I: Scope.ALL},
        Action.READ_AUDIT: {_A: Scope.ALL, _I: Scope.ALL},
    }
)


def scope_of(role: Role, action: Action) -> Scope:
    """How far `role` may do `action`; what the table does not name is denied."""
    return _TABLE.get(action, {}).get(role, Scope.NONE)
