"""The record: an event is one line, canonical, and from a closed vocabulary."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.audit import AuditAction, AuditEvent, decode_event, encode_event
from rclib.wire.errors import DecodeError
from rclib.wire.ids import SessionId

if TYPE_CHECKING:
    from random import Random

SESSIONS = st.none() | st.from_regex(r"\Ases_[a-z2-7]{16}\Z").map(SessionId)
DETAILS = st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=20)
EVENTS = st.builds(
    AuditEvent,
    seq=st.integers(1, 2**53),
    at_ms=st.integers(0, 2**53),
    action=st.sampled_from(AuditAction),
    session=SESSIONS,
    actor=st.text(max_size=80),
    detail=DETAILS,
)
EVENT = AuditEvent(7, 1_800_000_000_000, AuditAction.PATH_CHANGED, detail={"path": "relay"})


@given(EVENTS)
def test_an_event_is_read_as_it_was_written(event: AuditEvent) -> None:
    assert decode_event(encode_event(event)) == event


@given(EVENTS)
def test_an_event_is_one_line_of_the_spool(event: AuditEvent) -> None:
    line = encode_event(event)
    assert b"\n" not in line
    assert b"\r" not in line


@given(EVENTS, st.randoms(use_true_random=False))
def test_an_event_has_one_spelling_and_so_one_digest(event: AuditEvent, shuffler: Random) -> None:
    items = list(event.detail.items())
    shuffler.shuffle(items)
    again = msgspec.structs.replace(event, detail=dict(items))
    assert encode_event(again) == encode_event(event)
    assert encode_event(decode_event(encode_event(event))) == encode_event(event)


@given(EVENTS, EVENTS)
def test_different_events_are_different_lines(one: AuditEvent, other: AuditEvent) -> None:
    assert (encode_event(one) == encode_event(other)) is (one == other)


@given(st.binary(max_size=300))
def test_any_line_is_an_event_or_a_decode_error(line: bytes) -> None:
    with pytest.raises(DecodeError, match="audit event"):
        decode_event(line)


@given(EVENTS, st.data())
def test_a_damaged_line_is_read_or_refused_in_order(event: AuditEvent, data: st.DataObject) -> None:
    line = bytearray(encode_event(event))
    line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        assert isinstance(decode_event(bytes(line)), AuditEvent)


@given(EVENTS, st.data())
def test_half_a_line_is_no_event(event: AuditEvent, data: st.DataObject) -> None:
    line = encode_event(event)
    with pytest.raises(DecodeError):
        decode_event(line[: data.draw(st.integers(0, len(line) - 1))])


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 0},
        {"seq": 2**53 + 1},
        {"seq": "7"},
        {"at_ms": -1},
        {"action": "made_up"},
        {"action": "PATH_CHANGED"},
        {"session": "dev_" + "a" * 16},
        {"actor": "x" * 81},
        {"detail": {str(n): "" for n in range(21)}},
        {"detail": {"reason": "x" * 501}},
        {"detail": {"count": 1}},
        {"detail": None},
        {"organisation": "org_" + "a" * 16},
    ],
)
def test_an_event_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    honest = msgspec.to_builtins(EVENT)
    assert decode_event(msgspec.json.encode(honest)) == EVENT
    with pytest.raises(DecodeError):
        decode_event(msgspec.json.encode(honest | change))


def test_an_event_is_written_as_it_is_called() -> None:
    assert [action.value for action in AuditAction] == [a.name.lower() for a in AuditAction]
