from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controld.lifecycle import lease_end_ms
from controld.maintenance import Weekday, Window
from controld.records import ReasonPolicy, ReleasePolicy, Session, SessionState
from controld.roles import Role
from controld.start_rules import StartFacts, StartRefusal, absolute_end_ms, refusal_to_start
from controld.store_policies import DEFAULT
from rclib.wire.access import AccessMode
from tests.controld.test_lifecycle import ACTIVE, ISSUED, NOW, OTTO, PREPARED, REDEEMED, TINA

ALWAYS = Window(tuple(Weekday), "00:00", "00:00")
# 1970-01-12 13:46:40 UTC is a Monday.
NEVER_NOW = Window((Weekday.MONDAY,), "08:00", "10:00")
MAY = StartFacts(
    user=TINA,
    role=Role.RC_USER,
    policy=DEFAULT,
    access=AccessMode.ON,
    has_relay=True,
    open_at_gateway=0,
    open_of_user=0,
    max_of_user=4,
    now_ms=NOW,
)
FOUR_EYES = replace(MAY, policy=replace(DEFAULT, release=ReleasePolicy.FOUR_EYES))
REASONED = replace(MAY, policy=replace(DEFAULT, reason=ReasonPolicy.REQUIRED))
RELEASED = replace(
    PREPARED, state=SessionState.RELEASED, released_by=OTTO, released_ms=NOW, requested_by=TINA
)


@pytest.mark.parametrize(
    ("session", "facts"),
    [
        (PREPARED, MAY),
        (RELEASED, FOUR_EYES),
        (replace(PREPARED, reason="fault 0x2310"), REASONED),
        (PREPARED, replace(MAY, policy=replace(DEFAULT, windows=(ALWAYS,)))),
        (PREPARED, replace(MAY, policy=replace(DEFAULT, release=ReleasePolicy.PLANT_RELEASE))),
        (ISSUED, MAY),  # pressed again while the ticket is unused
    ],
)
def test_what_has_everything_it_needs_starts(session: Session, facts: StartFacts) -> None:
    assert refusal_to_start(session, facts) is None


@pytest.mark.parametrize(
    ("session", "facts", "refusal"),
    [
        (PREPARED, replace(MAY, user=OTTO), StartRefusal.NOT_ASSIGNED),
        (PREPARED, replace(MAY, role=Role.AUDITOR), StartRefusal.NOT_ASSIGNED),
        (replace(PREPARED, state=SessionState.ENDED), MAY, StartRefusal.SESSION_OVER),
        (replace(PREPARED, state=SessionState.REFUSED), MAY, StartRefusal.SESSION_OVER),
        (replace(PREPARED, state=SessionState.EXPIRED), MAY, StartRefusal.SESSION_OVER),
        (REDEEMED, MAY, StartRefusal.ALREADY_STARTED),
        (ACTIVE, MAY, StartRefusal.ALREADY_STARTED),
        (replace(ISSUED, started_by=OTTO), MAY, StartRefusal.ALREADY_STARTED),
        (PREPARED, FOUR_EYES, StartRefusal.NOT_RELEASED),
        (replace(PREPARED, state=SessionState.REQUESTED), FOUR_EYES, StartRefusal.NOT_RELEASED),
        (replace(RELEASED, released_ms=None), FOUR_EYES, StartRefusal.NOT_RELEASED),
        (replace(RELEASED, released_by=TINA), FOUR_EYES, StartRefusal.RELEASED_BY_YOU),
        (PREPARED, REASONED, StartRefusal.REASON_REQUIRED),
        (replace(PREPARED, reason=" \t"), REASONED, StartRefusal.REASON_REQUIRED),
        (replace(PREPARED, window_from_ms=NOW + 1), MAY, StartRefusal.WINDOW_NOT_OPEN),
        (replace(PREPARED, window_until_ms=NOW), MAY, StartRefusal.WINDOW_OVER),
        (
            PREPARED,
            replace(MAY, policy=replace(DEFAULT, windows=(NEVER_NOW,))),
            StartRefusal.NO_MAINTENANCE,
        ),
        (PREPARED, replace(MAY, has_relay=False), StartRefusal.NO_RELAY),
        (PREPARED, replace(MAY, access=None), StartRefusal.GATEWAY_OFFLINE),
        (PREPARED, replace(MAY, access=AccessMode.OFF), StartRefusal.ACCESS_OFF),
        (PREPARED, replace(MAY, open_at_gateway=4), StartRefusal.GATEWAY_BUSY),
        (PREPARED, replace(MAY, open_of_user=4), StartRefusal.USER_BUSY),
    ],
)
def test_each_missing_condition_alone_refuses_the_start(
    session: Session, facts: StartFacts, refusal: StartRefusal
) -> None:
    assert refusal_to_start(session, facts) is refusal


def test_administrators_start_what_is_not_assigned_to_them() -> None:
    for role in (Role.ADMINISTRATOR, Role.RC_ADMINISTRATOR):
        assert refusal_to_start(PREPARED, replace(MAY, user=OTTO, role=role)) is None


@given(
    duration=st.integers(60, 604_800),
    most=st.integers(60, 604_800),
    window=st.none() | st.integers(NOW, NOW + 10**9),
    lease=st.integers(1, 86_400),
    elapsed=st.integers(0, 10**9),
)
def test_no_lease_outlives_the_absolute_end(
    duration: int, most: int, window: int | None, lease: int, elapsed: int
) -> None:
    session = replace(PREPARED, duration_s=duration, window_until_ms=window)
    end = absolute_end_ms(session, replace(DEFAULT, max_duration_s=most), NOW)
    assert lease_end_ms(end, lease, NOW + elapsed) <= end <= NOW + min(duration, most) * 1000
    assert window is None or end <= window


def test_the_plants_window_closes_the_session() -> None:
    afternoon = replace(DEFAULT, windows=(Window((Weekday.MONDAY,), "13:00", "14:00"),))
    assert absolute_end_ms(PREPARED, afternoon, NOW) == NOW + (13 * 60 + 20) * 1000
