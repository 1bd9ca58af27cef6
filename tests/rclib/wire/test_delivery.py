"""Delivery over links that break at any time: each body is handled once, and in order."""

from __future__ import annotations

from collections import deque
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rclib.wire.access import AccessMode
from rclib.wire.control import Body, GatewayState, SessionProgress
from rclib.wire.delivery import MAX_UNACKED, REMEMBERED, Inbox, Outbox, OutboxFullError
from rclib.wire.ids import MessageId, SessionId, make_id
from rclib.wire.link import Ack, Message
from rclib.wire.session import PathKind

PROGRESS: Final = SessionProgress(SessionId("ses_" + "a" * 16), PathKind.RELAY)
STATE: Final = GatewayState(AccessMode.ON)


def message_id(number: int) -> MessageId:
    return MessageId(make_id("msg", number.to_bytes(10, "big")))


class LinkThatBreaks(RuleBasedStateMachine):
    """One sender and one receiver. A link delivers in order, until it takes along what is on it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000
        # The sender.
        self.outbox = Outbox()
        self.sent: dict[MessageId, int] = {}
        self.taken_back: set[MessageId] = set()
        # The link that is up, if one is.
        self.is_up = False
        self.messages: deque[Message] = deque()
        self.acks: deque[Ack] = deque()
        # The receiver.
        self.inbox = Inbox()
        self.handled: list[MessageId] = []

    @rule(body=st.sampled_from([PROGRESS, STATE]))
    def send(self, body: Body) -> None:
        message = message_id(len(self.sent))
        self.sent[message] = len(self.sent)
        self.outbox.add(message, body)
        if self.is_up:
            self.messages.append(Message(message, self.now_ms, body))

    @rule(later_ms=st.integers(1, 100_000))
    def wait(self, later_ms: int) -> None:
        self.now_ms += later_ms

    @precondition(lambda self: not self.is_up)
    @rule()
    def connect(self) -> None:
        self.is_up = True
        repeated = self.outbox.unacked(self.now_ms)
        assert all(message.sent_ms == self.now_ms for message in repeated)
        self.messages.extend(repeated)

    @precondition(lambda self: self.is_up)
    @rule()
    def break_down(self) -> None:
        self.is_up = False
        self.messages.clear()
        self.acks.clear()

    @precondition(lambda self: not self.is_up)
    @rule()
    def take_back_what_is_no_longer_true(self) -> None:
        before = {message.id for message in self.outbox.unacked(self.now_ms)}
        self.outbox.discard(GatewayState)
        left = self.outbox.unacked(self.now_ms)
        assert not any(isinstance(message.body, GatewayState) for message in left)
        self.taken_back |= before - {message.id for message in left}

    @precondition(lambda self: self.messages)
    @rule(is_acknowledged=st.booleans())
    def receive(self, *, is_acknowledged: bool) -> None:
        """The receiver may lose its link between the work and the word that it is done."""
        message = self.messages.popleft()
        if self.inbox.is_new(message.id):
            self.handled.append(message.id)
            self.inbox.handled(message.id)
        if is_acknowledged:
            self.acks.append(Ack(message.id))
        else:
            self.break_down()

    @precondition(lambda self: self.messages)
    @rule()
    def die_before_the_work_is_done(self) -> None:
        """What was not handled is not remembered, and so comes again."""
        assert self.inbox.is_new(self.messages[0].id) is (self.messages[0].id not in self.handled)
        self.break_down()

    @precondition(lambda self: self.acks)
    @rule()
    def hear_an_acknowledgement(self) -> None:
        ack = self.acks.popleft()
        done = self.outbox.acknowledged(ack.id)
        assert (done is None) is (ack.id in self.taken_back)
        assert self.outbox.acknowledged(ack.id) is None

    @invariant()
    def each_is_handled_once_and_in_order(self) -> None:
        numbers = [self.sent[message] for message in self.handled]
        assert numbers == sorted(set(numbers))

    @invariant()
    def what_is_neither_handled_nor_taken_back_is_kept(self) -> None:
        kept = {message.id for message in self.outbox.unacked(self.now_ms)}
        assert self.sent.keys() - kept <= set(self.handled) | self.taken_back
        assert len(self.outbox) == len(kept)

    def teardown(self) -> None:
        """The last link holds: everything arrives, and nothing is left to repeat."""
        if not self.is_up:
            self.connect()
        while self.messages:
            self.receive(is_acknowledged=True)
        while self.acks:
            self.hear_an_acknowledgement()
        self.each_is_handled_once_and_in_order()
        missing = self.sent.keys() - set(self.handled)
        assert missing <= self.taken_back
        assert len(self.outbox) == 0


TestLinkThatBreaks = LinkThatBreaks.TestCase
TestLinkThatBreaks.settings = settings(max_examples=80, stateful_step_count=40)


class TestOutbox:
    def test_an_end_that_acknowledges_nothing_is_given_up(self) -> None:
        outbox = Outbox()
        for number in range(MAX_UNACKED):
            outbox.add(message_id(number), PROGRESS)
        with pytest.raises(OutboxFullError, match=str(MAX_UNACKED)):
            outbox.add(message_id(MAX_UNACKED), PROGRESS)
        assert len(outbox) == MAX_UNACKED
        outbox.acknowledged(message_id(5))
        outbox.add(message_id(MAX_UNACKED), PROGRESS)

    def test_an_acknowledgement_names_what_is_done(self) -> None:
        outbox = Outbox()
        outbox.add(message_id(1), STATE)
        assert outbox.acknowledged(message_id(2)) is None
        assert outbox.acknowledged(message_id(1)) is STATE
        assert outbox.acknowledged(message_id(1)) is None

    def test_each_transmission_carries_its_own_time(self) -> None:
        """What a body bounds counts from here: a repetition must not carry yesterday's time."""
        outbox = Outbox()
        outbox.add(message_id(1), PROGRESS)
        assert outbox.unacked(100) == [Message(message_id(1), 100, PROGRESS)]
        assert outbox.unacked(200) == [Message(message_id(1), 200, PROGRESS)]

    def test_only_the_named_kinds_are_taken_back(self) -> None:
        outbox = Outbox()
        outbox.add(message_id(1), STATE)
        outbox.add(message_id(2), PROGRESS)
        outbox.discard()
        assert len(outbox) == 2
        outbox.discard(GatewayState)
        assert [message.body for message in outbox.unacked(1)] == [PROGRESS]


class TestInbox:
    def test_a_message_is_new_until_it_was_handled(self) -> None:
        inbox = Inbox()
        assert inbox.is_new(message_id(1))
        assert inbox.is_new(message_id(1))
        inbox.handled(message_id(1))
        assert not inbox.is_new(message_id(1))

    def test_the_oldest_is_forgotten_first(self) -> None:
        inbox = Inbox()
        for number in range(REMEMBERED):
            inbox.handled(message_id(number))
        assert not inbox.is_new(message_id(0))
        inbox.handled(message_id(REMEMBERED))
        assert inbox.is_new(message_id(0))
        assert not any(inbox.is_new(message_id(n)) for n in range(1, REMEMBERED + 1))

    def test_a_repetition_pushes_nothing_out(self) -> None:
        inbox = Inbox()
        for number in range(REMEMBERED):
            inbox.handled(message_id(number))
        inbox.handled(message_id(REMEMBERED - 1))
        assert not inbox.is_new(message_id(0))

    def test_more_is_remembered_than_can_come_again(self) -> None:
        assert REMEMBERED > MAX_UNACKED
