"""The two lanes: bounded in bytes, oldest first out, data never in the way of handshakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.send_queue import FIRST_LANE_BYTES, SendQueue, is_first_class
from rclib.wire import relay

DATA = relay.data_header(100) + b"\x04" + bytes(99)
INITIATION = relay.data_header(148) + b"\x01" + bytes(147)
SIGNAL = relay.encode(relay.Signal(b"candidate"))


def numbered(number: int, size: int = 100) -> bytes:
    return relay.data_header(size) + b"\x04" + bytes([number]) * (size - 1)


def drained(queue: SendQueue) -> list[bytes]:
    return list(iter(queue.pop, None))


def test_data_come_out_in_their_order() -> None:
    queue = SendQueue(1000)
    for number in range(5):
        assert queue.push(numbered(number)) == 0
    assert drained(queue) == [numbered(number) for number in range(5)]


def test_the_oldest_data_go_first() -> None:
    queue = SendQueue(3 * len(DATA))
    assert [queue.push(numbered(number)) for number in range(5)] == [0, 0, 0, 1, 1]
    assert drained(queue) == [numbered(2), numbered(3), numbered(4)]


def test_handshakes_and_signals_pass_the_data_and_are_not_dropped_for_them() -> None:
    queue = SendQueue(len(DATA))
    for message in (DATA, INITIATION, DATA, SIGNAL, DATA):
        queue.push(message)
    assert drained(queue) == [INITIATION, SIGNAL, DATA]


def test_the_first_lane_is_bounded_as_well() -> None:
    queue = SendQueue(0)
    dropped = sum(queue.push(INITIATION) for _ in range(1000))
    assert 0 < queue.size <= FIRST_LANE_BYTES
    assert dropped == 1000 - queue.size // len(INITIATION)


def test_a_message_larger_than_its_lane_is_dropped_itself() -> None:
    queue = SendQueue(50)
    assert queue.push(DATA) == 1
    assert drained(queue) == []


def test_clear_says_how_much_was_lost() -> None:
    queue = SendQueue(1000)
    queue.push(DATA)
    queue.push(SIGNAL)
    assert queue.clear() == 2
    assert (queue.size, queue.pop()) == (0, None)


@given(st.lists(st.one_of(st.integers(1, 400), st.none()), max_size=200), st.integers(0, 2000))
def test_it_never_holds_more_than_it_may_and_loses_nothing_silently(
    steps: list[int | None], max_bytes: int
) -> None:
    queue = SendQueue(max_bytes)
    pushed = popped = dropped = 0
    for size in steps:
        if size is None:
            popped += queue.pop() is not None
        else:
            pushed += 1
            dropped += queue.push(numbered(0, size))
        assert 0 <= queue.size <= max_bytes
    assert pushed == popped + dropped + len(drained(queue))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (DATA, False),
        (INITIATION, True),
        (SIGNAL, True),
        (relay.encode(relay.Gone()), True),
        (relay.encode(relay.Ready(partner_present=True)), True),
    ],
)
def test_only_data_packets_are_second_class(message: bytes, *, expected: bool) -> None:
    assert is_first_class(message) is expected
