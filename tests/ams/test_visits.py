from __future__ import annotations

from ams.visits import ABSOLUTE_S, IDLE_S, MAX_VISITS, Visits


def test_a_visit_ends_when_nobody_is_there() -> None:
    visits = Visits()
    visits.begin("cookie", "csrf", "first", 0)
    assert visits.find("cookie", "first", IDLE_S - 1)
    assert visits.find("cookie", "first", 2 * IDLE_S - 1) is None


def test_a_visit_ends_at_the_end_of_a_shift() -> None:
    visits = Visits()
    visits.begin("cookie", "csrf", "first", 0)
    now = 0.0
    while now < ABSOLUTE_S - IDLE_S:
        now += IDLE_S / 2
        assert visits.find("cookie", "first", now)
    assert visits.find("cookie", "first", ABSOLUTE_S) is None


def test_a_page_that_asks_by_itself_keeps_nobody_logged_in() -> None:
    visits = Visits()
    visits.begin("cookie", "csrf", "first", 0)
    for now in range(60, int(IDLE_S), 60):
        assert visits.find("cookie", "first", now, keep_awake=False)
    assert visits.find("cookie", "first", IDLE_S, keep_awake=False) is None


def test_another_password_ends_every_visit() -> None:
    visits = Visits()
    visits.begin("cookie", "csrf", "first", 0)
    assert visits.find("cookie", "second", 1) is None
    assert visits.find("cookie", "first", 1) is None


def test_the_number_of_visits_is_bounded() -> None:
    visits = Visits()
    for number in range(MAX_VISITS + 1):
        visits.begin(f"cookie{number}", "csrf", "first", number)
    assert visits.find("cookie0", "first", MAX_VISITS) is None
    assert visits.find("cookie1", "first", MAX_VISITS)
