"""Relay frames: total decoding, one spelling per frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire import relay
from rclib.wire.errors import DecodeError
from rclib.wire.ids import Nonce, Signature
from rclib.wire.relay import CloseReason, FrameType

tokens = st.text(st.characters(codec="ascii"), min_size=1, max_size=4000)
details = st.text(max_size=300)
echoes = st.binary(min_size=8, max_size=8)

frames = st.one_of(
    st.builds(relay.Hello, st.integers(0, 255), tokens),
    st.builds(relay.Challenge, st.binary(min_size=32, max_size=32).map(Nonce)),
    st.builds(relay.Proof, st.binary(min_size=64, max_size=64).map(Signature)),
    st.builds(relay.Ready, st.booleans()),
    st.builds(relay.Renew, tokens),
    st.builds(relay.Revoke, tokens),
    st.builds(relay.Signal, st.binary(min_size=1, max_size=relay.MAX_SIGNAL_BYTES)),
    st.builds(relay.Ping, echoes),
    st.builds(relay.Pong, echoes),
    st.just(relay.Gone()),
    st.builds(relay.Restarting, st.integers(0, 2**32 - 1)),
    st.builds(relay.Close, st.sampled_from(CloseReason), st.text(max_size=50)),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Bytes that often get as far as a frame's own rules."""
    kind = draw(st.sampled_from([*(int(kind) for kind in FrameType), draw(st.integers(0, 255))]))
    return bytes((kind,)) + draw(st.binary(max_size=300))


class TestDecode:
    @given(st.one_of(st.binary(max_size=400), messages()))
    def test_any_bytes_are_a_frame_or_a_decode_error(self, message: bytes) -> None:
        try:
            frame = relay.decode(message)
        except DecodeError:
            return
        assert relay.encode(frame) == message

    @given(frames)
    def test_a_frame_survives_the_wire(self, frame: relay.Frame) -> None:
        assert relay.decode(relay.encode(frame)) == frame

    @given(details)
    def test_a_detail_is_cut_between_characters(self, detail: str) -> None:
        frame = relay.decode(relay.encode(relay.Close(CloseReason.DONE, detail)))
        assert isinstance(frame, relay.Close)
        assert detail.encode().startswith(frame.detail.encode())
        assert len(frame.detail.encode()) <= relay.MAX_DETAIL_BYTES

    def test_data_are_a_view_into_the_message(self) -> None:
        message = bytearray(relay.data_header(2) + b"aabb")
        frame = relay.decode(message)
        assert isinstance(frame, relay.Data)
        message[relay.DATA_HEADER_BYTES] = ord("c")
        assert bytes(frame.packets) == b"cabb"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (b"", "frame: empty"),
            (b"\x99", "frame.type: unknown type 0x99"),
            (b"\x10\x00", "DATA: no packet"),
            (b"\x10\x00\x00a", "DATA.segment: 0"),
            (b"\x10\x00\x05abc", "DATA.segment: 5 bytes announced, 3 there"),
            (b"\x10\x00\x01" + bytes(65), "DATA.packets: 65 packets, more than 64"),
            (bytes(65_536), "frame: 65536 bytes, more than 65535"),
            (b"\x01", "HELLO.version: missing"),
            (b"\x01\x01", "HELLO.token: 0 bytes"),
            (b"\x01\x01\xff", "HELLO.token: not ASCII"),
            (b"\x02" + bytes(31), "CHALLENGE.nonce: 31 bytes instead of 32"),
            (b"\x03" + bytes(65), "PROOF.signature: 65 bytes instead of 64"),
            (b"\x04\x02", "READY.partner: 2 is neither 0 nor 1"),
            (b"\x11", "SIGNAL.payload: 0 bytes"),
            (b"\x20" + bytes(7), "PING.echo: 7 bytes instead of 8"),
            (b"\x30x", "GONE: 1 bytes instead of 0"),
            (b"\x31" + bytes(3), "RESTARTING.retry_in_ms: 3 bytes instead of 4"),
            (b"\x32", "CLOSE.reason: missing"),
            (b"\x32\xff", "CLOSE.reason: unknown reason 255"),
            (b"\x32\x00\xff", "CLOSE.detail: not UTF-8"),
            (b"\x32\x00" + bytes(201), "CLOSE.detail: 201 bytes, more than 200"),
        ],
    )
    def test_an_error_says_where_and_what(self, message: bytes, said: str) -> None:
        with pytest.raises(DecodeError) as caught:
            relay.decode(message)
        assert str(caught.value) == said
