"""Which link is an endpoint's link: whatever order things come in, one answer, known to all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from controld import store_fleet
from controld.codes import new_id
from controld.schema import metadata
from controld.store_fleet import (
    STALE_MS,
    InstanceId,
    Letter,
    LinkRow,
    StrangerError,
    SupersededError,
)
from rclib.wire.ids import EndpointId, MessageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controld.store import Tx

ENDPOINTS = [EndpointId("gwy_" + letter * 16) for letter in "ab"]
FAMILY = b"one"


@dataclass
class Reader:
    """An instance that looks from time to time, and remembers the newest change it has seen."""

    beat_ms: int
    seen: int = 0
    rows: dict[EndpointId, LinkRow] = field(default_factory=dict)


class Fleet(RuleBasedStateMachine):
    """Instances that claim, fall silent, return and leave; a model beside the tables."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.tx: Tx = self.engine.connect()
        metadata.create_all(self.tx)
        self.now_ms = STALE_MS
        self.readers: dict[InstanceId, Reader] = {}
        self.held: dict[EndpointId, tuple[InstanceId, int]] = {}
        self.claims: list[tuple[InstanceId, EndpointId, int]] = []
        self.letters: dict[MessageId, EndpointId] = {}

    def teardown(self) -> None:
        self.tx.close()
        self.engine.dispose()

    @rule()
    @precondition(lambda self: len(self.readers) < 3)
    def join(self) -> None:
        me = InstanceId(new_id("ins"))
        store_fleet.bury(self.tx, self.now_ms)
        self.forget_the_silent()
        store_fleet.join(self.tx, me, FAMILY, self.now_ms)
        self.readers[me] = Reader(self.now_ms)

    @rule(seconds=st.integers(1, 8))
    def time_passes(self, seconds: int) -> None:
        self.now_ms += seconds * 1000

    @rule(data=st.data())
    @precondition(lambda self: self.readers)
    def beat(self, data: st.DataObject) -> None:
        me = data.draw(st.sampled_from(list(self.readers)))
        assert store_fleet.beat(self.tx, me, self.now_ms)
        self.readers[me].beat_ms = self.now_ms
        store_fleet.bury(self.tx, self.now_ms)
        self.forget_the_silent()

    @rule(data=st.data(), endpoint=st.sampled_from(ENDPOINTS))
    @precondition(lambda self: self.readers)
    def claim(self, data: st.DataObject, endpoint: EndpointId) -> None:
        me = data.draw(st.sampled_from(list(self.readers)))
        number = store_fleet.claim(self.tx, me, endpoint)
        assert all(number > older for _, _, older in self.claims)
        self.claims.append((me, endpoint, number))
        self.held[endpoint] = me, number

    @rule(data=st.data())
    @precondition(lambda self: self.claims)
    def release(self, data: st.DataObject) -> None:
        """Of any link there ever was: a late word of an old one changes nothing."""
        me, endpoint, number = data.draw(st.sampled_from(self.claims))
        store_fleet.release(self.tx, me, endpoint, number, self.now_ms)
        if self.held.get(endpoint) == (me, number):
            del self.held[endpoint]

    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def shut(self, endpoint: EndpointId) -> None:
        store_fleet.shut(self.tx, endpoint, "enrolled anew", self.now_ms)
        self.held.pop(endpoint, None)

    @rule(data=st.data())
    @precondition(lambda self: self.readers)
    def leave(self, data: st.DataObject) -> None:
        me = data.draw(st.sampled_from(list(self.readers)))
        store_fleet.leave(self.tx, me, self.now_ms)
        self.forget(me)

    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def post(self, endpoint: EndpointId) -> None:
        letter = Letter(MessageId(new_id("msg")), endpoint, b"sealed")
        store_fleet.post(self.tx, [letter, letter], self.now_ms)
        store_fleet.post(self.tx, [letter], self.now_ms)
        self.letters[letter.message] = endpoint

    @rule(data=st.data())
    @precondition(lambda self: self.letters)
    def acknowledge(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(list(self.letters)))
        store_fleet.take_out(self.tx, [message])
        del self.letters[message]

    @rule(data=st.data())
    @precondition(lambda self: self.readers)
    def look(self, data: st.DataObject) -> None:
        """However long ago the last look was, nothing is missed."""
        reader = self.readers[data.draw(st.sampled_from(list(self.readers)))]
        for row in store_fleet.changes_since(self.tx, reader.seen):
            assert row.changed > reader.seen
            reader.rows[row.endpoint] = row
            reader.seen = row.changed
        shown = {e: (r.instance, r.claim) for e, r in reader.rows.items() if r.instance is not None}
        assert shown == self.held

    @invariant()
    def one_link_counts(self) -> None:
        for me, endpoint, number in self.claims:
            counts = self.held.get(endpoint) == (me, number)
            try:
                store_fleet.check_claim(self.tx, me, endpoint, number)
            except SupersededError:
                assert not counts
            else:
                assert counts

    @invariant()
    def letters_are_where_their_endpoint_is(self) -> None:
        for me in self.readers:
            here = {e for e, (instance, _) in self.held.items() if instance == me}
            waiting = [letter.message for letter in store_fleet.letters_for(self.tx, me)]
            assert waiting == [m for m, endpoint in self.letters.items() if endpoint in here]

    def forget_the_silent(self) -> None:
        for me, reader in list(self.readers.items()):
            if reader.beat_ms <= self.now_ms - STALE_MS:
                self.forget(me)

    def forget(self, me: InstanceId) -> None:
        del self.readers[me]
        for endpoint in [e for e, (instance, _) in self.held.items() if instance == me]:
            del self.held[endpoint]


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.fixture
def tx() -> Iterator[Tx]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def test_who_was_given_up_is_told_at_the_next_beat(tx: Tx) -> None:
    a, b = InstanceId("ins_a"), InstanceId("ins_b")
    store_fleet.join(tx, a, FAMILY, 0)
    store_fleet.join(tx, b, FAMILY, STALE_MS - 1)
    assert store_fleet.living(tx) == [a, b]
    store_fleet.bury(tx, STALE_MS)
    assert store_fleet.living(tx) == [b]
    assert not store_fleet.beat(tx, a, STALE_MS)


def test_a_stranger_is_kept_out_by_those_who_live(tx: Tx) -> None:
    store_fleet.join(tx, InstanceId("ins_a"), FAMILY, 0)
    with pytest.raises(StrangerError):
        store_fleet.join(tx, InstanceId("ins_b"), b"another", 1)
    store_fleet.join(tx, InstanceId("ins_b"), b"another", STALE_MS)


def test_letters_nobody_comes_for_are_thrown_away(tx: Tx) -> None:
    me = InstanceId("ins_a")
    store_fleet.join(tx, me, FAMILY, 0)
    store_fleet.claim(tx, me, ENDPOINTS[0])
    for number in range(2):
        letter = Letter(MessageId(f"msg_{number}"), ENDPOINTS[0], b"")
        store_fleet.post(tx, [letter], number)
    store_fleet.clear_out(tx, store_fleet.LETTERS_MS)
    assert [letter.message for letter in store_fleet.letters_for(tx, me)] == ["msg_1"]
