"""One timer for many legs: never early, at most one slot late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relayd.timer_wheel import SLOT_S, TimerWheel

KEYS = st.integers(0, 5)


@given(st.dictionaries(st.integers(), st.floats(0, 1e6)), st.floats(0, 1e6))
def test_nothing_is_early_and_nothing_later_than_a_slot(
    wanted: dict[int, float], now: float
) -> None:
    wheel: TimerWheel[int] = TimerWheel()
    for key, at in wanted.items():
        wheel.arm(key, at)
    expired = set(wheel.expired(now))
    assert {key for key, at in wanted.items() if at <= now - SLOT_S} <= expired
    assert all(wanted[key] <= now for key in expired)
    assert len(wheel) == len(wanted) - len(expired)


def test_an_earlier_time_replaces_a_later_one_and_not_the_other_way_round() -> None:
    wheel: TimerWheel[str] = TimerWheel(slot_s=1)
    wheel.arm("leg", 10)
    wheel.arm("leg", 5)
    wheel.arm("leg", 20)
    assert wheel.deadline == 5
    assert wheel.expired(5) == ["leg"]
    assert wheel.deadline is None


class Wheel(RuleBasedStateMachine):
    """Against a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel: TimerWheel[int] = TimerWheel(slot_s=1)
        self.model: dict[int, int] = {}
        self.now = 0

    @rule(key=KEYS, delay=st.integers(0, 20))
    def arm(self, key: int, delay: int) -> None:
        at = self.now + delay
        self.wheel.arm(key, at)
        self.model[key] = min(at, self.model.get(key, at))

    @rule(key=KEYS)
    def disarm(self, key: int) -> None:
        self.wheel.disarm(key)
        self.model.pop(key, None)

    @rule(passed=st.integers(0, 10))
    def expire(self, passed: int) -> None:
        self.now += passed
        expected = {key for key, at in self.model.items() if at <= self.now}
        assert set(self.wheel.expired(self.now)) == expected
        for key in expected:
            del self.model[key]

    @invariant()
    def the_deadline_is_the_earliest(self) -> None:
        assert self.wheel.deadline == min(self.model.values(), default=None)


TestWheel = Wheel.TestCase
