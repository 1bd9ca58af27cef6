from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controld.lifecycle import (
    TRANSITIONS,
    Due,
    Event,
    Patience,
    Presence,
    StartFacts,
    StartRefusal,
    TransitionError,
    absolute_end_ms,
    due,
    lease_end_ms,
    next_state,
    refusal_to_start,
)
from controld.records import Session, SessionState
from controld.roles import Role
from rclib.wire.access import AccessMode
from rclib.wire.ids import ClientId, GatewayId, OrganisationId, SessionId, UserId
from rclib.wire.session import EndReason

TINA, OTTO = UserId("usr_" + "t" * 16), UserId("usr_" + "o" * 16)
NOW = 1_000_000_000
PATIENCE = Patience(lease_s=600, client_grace_s=120)
LINKED = Presence(gateway_linked=True, client_gone_ms=None)

PREPARED = Session(
    id=SessionId("ses_" + "a" * 16),
    organisation=OrganisationId("org_" + "a" * 16),
    gateway=GatewayId("gwy_" + "a" * 16),
    gateway_name="press 1",
    name="check",
    reason="",
    duration_s=3600,
    window_from_ms=None,
    window_until_ms=None,
    created_by=OTTO,
    created_ms=NOW,
    state=SessionState.PREPARED,
    targets=(),
    users=(TINA,),
)
ISSUED = replace(PREPARED, state=SessionState.STARTING, started_by=TINA, redeem_by_ms=NOW + 60_000)
REDEEMED = replace(
    ISSUED,
    client=ClientId("cli_" + "a" * 16),
    answer_by_ms=NOW + 60_000,
    lease_until_ms=NOW + 600_000,
    not_after_ms=NOW + 3_600_000,
)
ACTIVE = replace(REDEEMED, state=SessionState.ACTIVE, answered=True)
MAY = StartFacts(TINA, Role.RC_USER, AccessMode.ON, has_relay=True, now_ms=NOW)


def test_a_released_session_of_an_online_gateway_starts() -> None:
    assert refusal_to_start(PREPARED, MAY) is None


@pytest.mark.parametrize(
    ("session", "facts", "refusal"),
    [
        (PREPARED, replace(MAY, user=OTTO), StartRefusal.NOT_ASSIGNED),
        (replace(PREPARED, state=SessionState.ENDED), MAY, StartRefusal.SESSION_OVER),
        (REDEEMED, MAY, StartRefusal.ALREADY_STARTED),
        (ACTIVE, MAY, StartRefusal.ALREADY_STARTED),
        (replace(ISSUED, started_by=OTTO), MAY, StartRefusal.ALREADY_STARTED),
        (replace(PREPARED, window_from_ms=NOW + 1), MAY, StartRefusal.WINDOW_NOT_OPEN),
        (replace(PREPARED, window_until_ms=NOW), MAY, StartRefusal.WINDOW_OVER),
        (PREPARED, replace(MAY, has_relay=False), StartRefusal.NO_RELAY),
        (PREPARED, replace(MAY, access=None), StartRefusal.GATEWAY_OFFLINE),
        (PREPARED, replace(MAY, access=AccessMode.OFF), StartRefusal.ACCESS_OFF),
    ],
)
def test_each_missing_condition_alone_refuses_the_start(
    session: Session, facts: StartFacts, refusal: StartRefusal
) -> None:
    assert refusal_to_start(session, facts) is refusal


def test_administrators_start_what_is_not_assigned_to_them() -> None:
    for role in (Role.ADMINISTRATOR, Role.RC_ADMINISTRATOR):
        assert refusal_to_start(PREPARED, replace(MAY, user=OTTO, role=role)) is None


def test_start_can_be_pressed_again_while_the_ticket_is_unused() -> None:
    assert refusal_to_start(ISSUED, MAY) is None


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_no_order_of_events_skips_a_step_or_leaves_the_end(events: list[Event]) -> None:
    state, started = SessionState.PREPARED, False
    for event in events:
        try:
            after = next_state(state, event)
        except TransitionError:
            assert (state, event) not in TRANSITIONS
            continue
        assert state is not SessionState.ENDED
        if after is SessionState.ACTIVE:
            assert started
        started = after in {SessionState.STARTING, SessionState.ACTIVE}
        state = after


@given(
    duration=st.integers(60, 604_800),
    window=st.none() | st.integers(NOW, NOW + 10**9),
    lease=st.integers(1, 86_400),
    elapsed=st.integers(0, 10**9),
)
def test_no_lease_outlives_the_absolute_end(
    duration: int, window: int | None, lease: int, elapsed: int
) -> None:
    session = replace(PREPARED, duration_s=duration, window_until_ms=window)
    end = absolute_end_ms(session, NOW)
    assert lease_end_ms(end, lease, NOW + elapsed) <= end <= NOW + duration * 1000
    assert window is None or end <= window


@pytest.mark.parametrize(
    ("session", "presence", "after_s", "expected"),
    [
        (PREPARED, LINKED, 10**6, None),
        (replace(PREPARED, window_until_ms=NOW + 1000), LINKED, 1, EndReason.TIME_OVER),
        (ISSUED, LINKED, 59, None),
        (ISSUED, LINKED, 60, Due.EXPIRE_TICKET),
        (REDEEMED, LINKED, 59, None),
        (REDEEMED, LINKED, 60, Due.GIVE_UP_ANSWER),
        (replace(REDEEMED, answered=True), LINKED, 599, None),
        (replace(REDEEMED, answered=True), LINKED, 600, EndReason.LEASE_ENDED),
        (ACTIVE, LINKED, 199, None),
        (ACTIVE, LINKED, 200, Due.RENEW),
        (ACTIVE, LINKED, 600, EndReason.LEASE_ENDED),
        (ACTIVE, LINKED, 3600, EndReason.TIME_OVER),
        (ACTIVE, Presence(False, None), 599, None),
        (ACTIVE, Presence(False, None), 600, EndReason.GATEWAY_GONE),
        (ACTIVE, Presence(True, NOW), 119, None),
        (ACTIVE, Presence(True, NOW), 120, EndReason.TECHNICIAN_GONE),
        (replace(ACTIVE, lease_until_ms=3_600_000 + NOW), LINKED, 3599, None),
        (replace(ACTIVE, lease_until_ms=None), LINKED, 0, EndReason.LEASE_ENDED),
        (replace(ACTIVE, not_after_ms=None), LINKED, 0, EndReason.TIME_OVER),
        (replace(ACTIVE, state=SessionState.ENDED), LINKED, 10**6, None),
    ],
)
def test_time_does_this_to_a_session(
    session: Session, presence: Presence, after_s: int, expected: Due | EndReason | None
) -> None:
    assert due(session, presence, PATIENCE, NOW + after_s * 1000) is expected


@given(
    after_s=st.integers(0, 10_000),
    linked=st.booleans(),
    gone=st.none() | st.integers(NOW, NOW + 10**7),
)
def test_nothing_is_renewed_for_an_absent_gateway_or_after_its_lease(
    after_s: int,
    linked: bool,
    gone: int | None,
) -> None:
    now = NOW + after_s * 1000
    if due(ACTIVE, Presence(linked, gone), PATIENCE, now) is Due.RENEW:
        assert linked
        assert now < (ACTIVE.lease_until_ms or 0)
