"""Bursts built in place are the bursts that rclib.wire.bursts makes of the same packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.burst_buffer import MAX_BURST_BYTES, MAX_PACKET_BYTES, BurstBuffer
from rclib.wire.bursts import is_burst, join
from rclib.wire.relay import DATA_HEADER_BYTES

first_bytes = st.sampled_from([1, 2, 3, 4, 4, 4, 4, 0, 255])
sizes = st.one_of(st.sampled_from([32, 1452, 1452, 1452]), st.integers(1, MAX_PACKET_BYTES))


@st.composite
def packet(draw: st.DrawFn) -> bytes:
    number = draw(st.integers(0, 255))
    return (bytes((draw(first_bytes),)) + bytes((number,)) * MAX_PACKET_BYTES)[: draw(sizes)]


def built(packets: list[bytes], max_bytes: int) -> list[bytes]:
    messages: list[bytes] = []
    buffer = BurstBuffer(lambda message: messages.append(bytes(message)), max_bytes)
    for one in packets:
        buffer.free[: len(one)] = one
        buffer.add(len(one))
    buffer.flush()
    return messages


@given(
    st.lists(packet(), max_size=150),
    st.integers(DATA_HEADER_BYTES + MAX_PACKET_BYTES, 65_535),
)
def test_it_builds_what_the_protocol_describes(packets: list[bytes], max_bytes: int) -> None:
    messages = built(packets, max_bytes)
    assert messages == list(join(packets, max_bytes))
    assert all(is_burst(message) for message in messages)


def test_nothing_leaves_while_packets_fit_and_nothing_twice() -> None:
    messages: list[bytes] = []
    buffer = BurstBuffer(lambda message: messages.append(bytes(message)))
    buffer.free[:100] = bytes(100)
    buffer.add(100)
    assert messages == []
    buffer.flush()
    buffer.flush()
    assert [len(message) for message in messages] == [103]


def test_there_is_always_room_to_tell_a_packet_that_is_too_long() -> None:
    buffer = BurstBuffer(lambda _: None)
    while len(buffer.free) > MAX_PACKET_BYTES + 1452:
        buffer.add(1452)
    assert len(buffer.free) > MAX_PACKET_BYTES


def test_a_burst_and_its_websocket_header_are_one_tls_record() -> None:
    client_header = 8
    assert MAX_BURST_BYTES + client_header == 16 * 1024


def test_a_burst_must_hold_any_packet() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        BurstBuffer(lambda _: None, MAX_PACKET_BYTES)
