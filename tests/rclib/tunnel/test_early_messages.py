"""What is kept for a way that is not open yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rclib.tunnel.early_messages import EARLY_TTL_S, MAX_EARLY_BYTES, EarlyMessages
from rclib.wire import relay


def handshake(kind: int, number: int = 0, size: int = 148) -> bytes:
    return relay.data_header(size) + bytes((kind,)) + bytes((number,)) * (size - 1)


def test_the_newest_of_each_kind_is_kept_in_the_order_they_came() -> None:
    early = EarlyMessages()
    for message in (handshake(1, 1), handshake(2, 2, 92), handshake(1, 3)):
        assert early.keep(message, 0)
    assert early.take(0) == [handshake(2, 2, 92), handshake(1, 3)]


def test_what_was_taken_is_gone() -> None:
    early = EarlyMessages()
    early.keep(handshake(1), 0)
    early.take(0)
    assert early.take(0) == []


def test_what_its_sender_has_given_up_is_not_sent() -> None:
    early = EarlyMessages()
    early.keep(handshake(1), 0)
    early.keep(handshake(2), 1)
    assert early.take(EARLY_TTL_S) == [handshake(2)]


def test_a_copy_is_kept_because_buffers_are_used_again() -> None:
    early = EarlyMessages()
    buffer = bytearray(handshake(1, 7))
    early.keep(memoryview(buffer), 0)
    buffer[:] = bytes(len(buffer))
    assert early.take(0) == [handshake(1, 7)]


@given(st.binary(min_size=1, max_size=4096))
def test_only_handshakes_are_kept(message: bytes) -> None:
    early = EarlyMessages()
    kept = early.keep(message, 0)
    assert kept == (
        message[0] == relay.FrameType.DATA
        and message[3:4] in (b"\x01", b"\x02", b"\x03")
        and len(message) <= MAX_EARLY_BYTES
    )
    assert early.take(0) == ([message] if kept else [])
