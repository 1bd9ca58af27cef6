from __future__ import annotations

import pytest

from controld.roles import Action, Role, Scope, scope_of

ADMINISTRATOR, RC_ADMINISTRATOR, RC_USER, AUDITOR = Role
NONE, OWN, ALL = Scope

MANUAL = {
    Action.ADD_GATEWAYS: (ALL, NONE, NONE, NONE),
    Action.SEE_GATEWAYS: (ALL, ALL, NONE, NONE),
    Action.MANAGE_USERS: (ALL, NONE, NONE, NONE),
    Action.SEE_USERS: (ALL, ALL, NONE, NONE),
    Action.MANAGE_ORGANISATIONS: (ALL, NONE, NONE, NONE),
    Action.ENROL_CLIENT: (OWN, OWN, OWN, NONE),
    Action.PREPARE_SESSIONS: (ALL, ALL, NONE, NONE),
    Action.CHANGE_SESSION_DEVICES: (ALL, ALL, NONE, NONE),
    Action.RELEASE_SESSIONS: (ALL, ALL, NONE, NONE),
    Action.START_SESSIONS: (ALL, ALL, OWN, NONE),
    Action.END_SESSIONS: (ALL, ALL, OWN, NONE),
    Action.SEE_SESSIONS: (ALL, ALL, OWN, ALL),
    Action.READ_AUDIT: (ALL, NONE, NONE, ALL),
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(("column", "role"), list(enumerate(Role)))
def test_each_cell_is_as_the_manual_says(action: Action, column: int, role: Role) -> None:
    assert scope_of(role, action) is MANUAL[action][column]


def test_what_the_table_does_not_name_is_denied() -> None:
    assert scope_of(Role.ADMINISTRATOR, "shut_down_the_server") is NONE  # type: ignore[arg-type]
    assert scope_of("guest", Action.SEE_SESSIONS) is NONE  # type: ignore[arg-type]


def test_an_auditor_changes_nothing() -> None:
    may = {action for action in Action if scope_of(AUDITOR, action) is not NONE}
    assert may == {Action.SEE_SESSIONS, Action.READ_AUDIT}
