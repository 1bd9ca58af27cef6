"""The relay's rules, whatever happens in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rclib.wire.identity import Side
from relayd.commands import Admit, CloseLeg, Command, Join, LegId, Part
from tests.relayd.rules_by_hand import DATA, INITIATION, OTHER_SESSION, SESSION, SIGNAL, Relay

if TYPE_CHECKING:
    from rclib.wire.ids import SessionId


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, data can only go to the other side of a channel."""

    legs = st.integers(0, 7)

    def __init__(self) -> None:
        super().__init__()
        self.server = Relay()
        self.known: list[LegId] = []
        self.admitted: dict[LegId, tuple[SessionId, Side]] = {}
        self.partner: dict[LegId, LegId | None] = {}

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Admit(leg, session, side):
                    self.admitted[leg] = session, side
                case Join(leg, partner):
                    self.partner[leg], self.partner[partner] = partner, leg
                case Part(leg):
                    self.partner[leg] = None
                case CloseLeg(leg):
                    self.admitted.pop(leg, None)

    def pick(self, number: int) -> LegId | None:
        return self.known[number % len(self.known)] if self.known else None

    @rule(side=st.sampled_from(Side), session=st.sampled_from([SESSION, OTHER_SESSION]))
    def join(self, side: Side, session: SessionId) -> None:
        leg, commands = self.server.join(side, session=session, expires_s=1_000_000)
        self.known.append(leg)
        self.obey(commands)

    @rule(number=legs)
    def leave(self, number: int) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.known.remove(leg)
            self.obey(self.server.rules.disconnected(leg))
            self.admitted.pop(leg, None)

    @rule(number=legs, message=st.sampled_from([DATA, INITIATION, SIGNAL, b"", b"\x77"]))
    def say(self, number: int, message: bytes) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.obey(self.server.say(leg, message))

    @rule(number=legs)
    def block(self, number: int) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.server.rules.write_blocked(leg, self.server.now)

    @rule(seconds=st.sampled_from([1.0, 5.0, 50.0]))
    def wait(self, seconds: float) -> None:
        self.obey(self.server.later(seconds))

    @invariant()
    def partners_are_the_two_sides_of_one_session(self) -> None:
        for leg, partner in self.partner.items():
            if partner is None:
                continue
            assert self.partner[partner] == leg
            session, side = self.admitted[leg]
            assert self.admitted[partner] == (session, side.other)

    @invariant()
    def channels_are_those_of_admitted_legs(self) -> None:
        sessions = {session for session, _ in self.admitted.values()}
        assert self.server.rules.channel_count == len(sessions)


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
