"""Bursts keep packets and order, and a relay knows one by its header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire import bursts, relay
from rclib.wire.errors import DecodeError
from tests.rclib.wire.test_relay import messages

packets = st.binary(min_size=1, max_size=1500)


@given(st.one_of(st.binary(max_size=400), messages()))
def test_a_relay_takes_for_a_burst_exactly_what_decodes_as_one(message: bytes) -> None:
    try:
        expected = isinstance(relay.decode(message), relay.Data)
    except DecodeError:
        expected = False
    assert bursts.is_burst(memoryview(message)) is expected


@given(st.lists(packets, max_size=150), st.integers(1503, 20_000))
def test_bursts_keep_every_packet_in_its_order(sent: list[bytes], max_bytes: int) -> None:
    received = []
    for message in bursts.join(sent, max_bytes):
        frame = relay.decode(message)
        assert isinstance(frame, relay.Data)
        received += [bytes(packet) for packet in bursts.split(frame.segment, frame.packets)]
    assert received == sent


@given(st.lists(packets, max_size=150), st.integers(1503, 20_000))
def test_a_burst_exceeds_neither_bytes_nor_segments(sent: list[bytes], max_bytes: int) -> None:
    for message in bursts.join(sent, max_bytes):
        assert len(message) <= max_bytes
        frame = relay.decode(message)
        assert isinstance(frame, relay.Data)
        assert len(list(bursts.split(frame.segment, frame.packets))) <= relay.MAX_SEGMENTS


@given(st.lists(packets, max_size=100))
def test_a_handshake_travels_alone(sent: list[bytes]) -> None:
    for message in bursts.join(sent, 16_384):
        frame = relay.decode(message)
        assert isinstance(frame, relay.Data)
        inside = list(bursts.split(frame.segment, frame.packets))
        assert len(inside) == 1 or not any(bursts.is_handshake(packet) for packet in inside)


def test_equal_packets_share_a_burst_that_a_shorter_one_ends() -> None:
    sent = [b"\x04" + bytes(99)] * 3 + [b"\x04" + bytes(9), b"\x04" + bytes(9)]
    assert [len(message) for message in bursts.join(sent, 16_384)] == [313, 13]


@pytest.mark.parametrize(("first", "expected"), [(0, False), (1, True), (3, True), (4, False)])
def test_a_handshake_is_told_by_its_first_byte(first: int, *, expected: bool) -> None:
    assert bursts.is_handshake(bytes((first, 0, 0, 0))) is expected


def test_nothing_is_no_handshake() -> None:
    assert not bursts.is_handshake(b"")
