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
    TransitionError,
    due,
    next_state,
)
from controld.records import FINAL_STATES, Session, SessionState
from rclib.wire.ids import ClientId, GatewayId, OrganisationId, SessionId, UserId
from rclib.wire.session import EndReason

TINA, OTTO = UserId("usr_" + "t" * 16), UserId("usr_" + "o" * 16)
NOW = 1_000_000_000
PATIENCE = Patience(lease_s=600, client_grace_s=120, release_s=86_400)
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
RELEASED = replace(PREPARED, state=SessionState.RELEASED, released_by=OTTO, released_ms=NOW)
ISSUED = replace(PREPARED, state=SessionState.STARTING, started_by=TINA, redeem_by_ms=NOW + 60_000)
REDEEMED = replace(
    ISSUED,
    client=ClientId("cli_" + "a" * 16),
    answer_by_ms=NOW + 60_000,
    lease_until_ms=NOW + 600_000,
    not_after_ms=NOW + 3_600_000,
)
ACTIVE = replace(REDEEMED, state=SessionState.ACTIVE, answered=True)


@given(st.lists(st.sampled_from(Event), max_size=16))
def test_no_order_of_events_skips_a_step_or_leaves_the_end(events: list[Event]) -> None:
    state, asked = SessionState.PREPARED, False
    for event in events:
        try:
            after = next_state(state, event)
        except TransitionError:
            assert (state, event) not in TRANSITIONS
            continue
        assert state not in FINAL_STATES
        if after is SessionState.ACTIVE:
            assert state in {SessionState.STARTING, SessionState.ACTIVE}
        if after is SessionState.RELEASED:
            assert asked or event is Event.UNUSED_RELEASED
        asked = asked or event is Event.REQUEST
        state = after


def test_every_state_but_the_final_ones_can_be_changed_and_ended() -> None:
    for state in SessionState:
        is_final = state in FINAL_STATES
        assert ((state, Event.END) in TRANSITIONS) is not is_final
        assert ((state, Event.CHANGE) in TRANSITIONS) is not is_final


def test_every_state_is_reached_from_prepared() -> None:
    reached = {SessionState.PREPARED}
    for _ in SessionState:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(SessionState)


@pytest.mark.parametrize(
    ("session", "presence", "after_s", "expected"),
    [
        (PREPARED, LINKED, 10**6, None),
        (replace(PREPARED, window_until_ms=NOW + 1000), LINKED, 1, Due.EXPIRE),
        (replace(RELEASED, window_until_ms=NOW + 1000), LINKED, 1, Due.EXPIRE),
        (RELEASED, LINKED, 86_399, None),
        (RELEASED, LINKED, 86_400, Due.LAPSE),
        (replace(RELEASED, released_ms=None), LINKED, 0, Due.LAPSE),
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
