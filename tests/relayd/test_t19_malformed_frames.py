"""T19: whatever arrives, only its sender is closed, with the right code, without a traceback.

The families are those of the Autobahn test suite, which runs on Python 2 alone; what of it does
not apply to a relay stands with its reason in docs/relayd.md.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rclib.wire import relay as wire
from rclib.wire.bursts import is_burst
from rclib.wire.identity import Side
from rclib.wire.ids import SessionId
from tests.relayd.raw_websocket import Opcode, RawWebSocket, close_frame, frame

if TYPE_CHECKING:
    from tests.relayd.conftest import Join, Pair, RunningRelay, StartRelay

PROTOCOL_ERROR, UNSUPPORTED, INVALID_UTF8, TOO_BIG, DONE = 1002, 1003, 1007, 1009, 1000
BURST = wire.data_header(4) + b"\x04123"
OTHER_SESSION = SessionId("ses_" + "c" * 16)
END = close_frame(DONE)


@dataclass(frozen=True)
class Case:
    """Bytes after the upgrade, and what has to come back."""

    name: str
    sent: bytes
    code: int
    pongs: tuple[bytes, ...] = ()


FRAMING = [
    Case("1.1 a text message", frame(Opcode.TEXT, b"hello"), UNSUPPORTED),
    Case("1.1.1 an empty text message", frame(Opcode.TEXT), UNSUPPORTED),
    Case("1.2.1 an empty binary message", frame(Opcode.BINARY), PROTOCOL_ERROR),
    Case("1.2 a binary message of no known type", frame(Opcode.BINARY, b"\x99"), PROTOCOL_ERROR),
    Case("5.1 without a mask", frame(Opcode.BINARY, BURST, masked=False), PROTOCOL_ERROR),
    Case("zeros", bytes(64), PROTOCOL_ERROR),
    Case("another HTTP request", b"GET / HTTP/1.1\r\n\r\n", PROTOCOL_ERROR),
]
PINGS = [
    Case("2.1 empty", frame(Opcode.PING) + END, DONE, (b"",)),
    Case("2.2 with text", frame(Opcode.PING, b"hello") + END, DONE, (b"hello",)),
    Case("2.3 with any bytes", frame(Opcode.PING, b"\0\xff\xfe") + END, DONE, (b"\0\xff\xfe",)),
    Case("2.4 with 125 bytes", frame(Opcode.PING, bytes(125)) + END, DONE, (bytes(125),)),
    Case("2.5 with 126 bytes", frame(Opcode.PING, bytes(126)), PROTOCOL_ERROR),
    Case("2.7 a pong nobody asked for", frame(Opcode.PONG) + END, DONE),
    Case("2.8 one with text", frame(Opcode.PONG, b"hello") + END, DONE),
    Case("2.9 that, then a ping", frame(10, b"a") + frame(9, b"b") + END, DONE, (b"b",)),
    Case(
        "2.10 ten at once",
        b"".join(frame(Opcode.PING, bytes((n,))) for n in range(10)) + END,
        DONE,
        tuple(bytes((n,)) for n in range(10)),
    ),
]
RESERVED_BITS = [
    Case(f"3.{rsv} bits {rsv:03b} on {opcode.name}", frame(opcode, b"a", rsv=rsv), PROTOCOL_ERROR)
    for rsv in range(1, 8)
    for opcode in (Opcode.BINARY, Opcode.PING, Opcode.TEXT)
]
OPCODES = [
    Case(f"4 opcode {opcode}", frame(opcode, b"a"), PROTOCOL_ERROR)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
]
FRAGMENTS = [
    Case("5.1 a fragment of a ping", frame(Opcode.PING, fin=False), PROTOCOL_ERROR),
    Case("5.2 of a pong", frame(Opcode.PONG, fin=False), PROTOCOL_ERROR),
    Case("5.3 of a close", frame(8, struct.pack("!H", DONE), fin=False), PROTOCOL_ERROR),
    Case("5.3 of a message", frame(2, b"a", fin=False) + frame(0, b"b"), UNSUPPORTED),
    Case("5.6 with a ping between", frame(2, b"a", fin=False) + frame(9) + frame(0), UNSUPPORTED),
    Case("5.9 the end of what never began", frame(Opcode.CONTINUATION, b"b"), UNSUPPORTED),
    Case("5.12 more of it", frame(Opcode.CONTINUATION, b"b", fin=False), UNSUPPORTED),
]
UTF8 = [
    Case("6.3 text that is none", frame(Opcode.TEXT, b"\xce\xba\xed\xa0\x80"), UNSUPPORTED),
    Case("7.5.1 a reason that is none", close_frame(DONE, b"\xed\xa0\x80"), INVALID_UTF8),
    Case("7.5.1 a reason that is", close_frame(DONE, "κόσμε".encode()), DONE),
]
CLOSING = [
    Case("7.1.1 at once", END, DONE),
    Case("7.1.3 then a ping", END + frame(Opcode.PING), DONE),
    Case("7.1.4 then a message", END + frame(Opcode.BINARY, BURST), DONE),
    Case("7.3.1 without a code", frame(Opcode.CLOSE), DONE),
    Case("7.3.2 with half a code", frame(Opcode.CLOSE, b"\x03"), PROTOCOL_ERROR),
    Case("7.3.5 with 123 bytes of reason", close_frame(DONE, b"a" * 123), DONE),
    Case("7.3.6 with 124", close_frame(DONE, b"a" * 124), PROTOCOL_ERROR),
    *(
        Case(f"7.7 with code {code}", close_frame(code), DONE)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    *(
        Case(f"7.9 with code {code}", close_frame(code), PROTOCOL_ERROR)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
]
LIMITS = [
    Case("9 a byte too long", frame(Opcode.BINARY, bytes(wire.MAX_MESSAGE_BYTES + 1)), TOO_BIG),
    Case("9.2 a megabyte announced", frame(2, length=b"\xff" + (1 << 20).to_bytes(8)), TOO_BIG),
    Case("a negative length", frame(2, length=b"\xff" * 9), PROTOCOL_ERROR),
    Case("a length longer than needed", frame(2, b"a", length=b"\xfe\0\x01"), PROTOCOL_ERROR),
    Case("much longer", frame(2, b"a", length=b"\xff" + bytes(7) + b"\x01"), PROTOCOL_ERROR),
    Case("a first message of 5000 bytes", frame(2, b"\x01\x01" + b"a" * 5000), PROTOCOL_ERROR),
    Case("12 compressed", frame(Opcode.BINARY, b"\xaa\x01\x00", rsv=4), PROTOCOL_ERROR),
]
CASES = [*FRAMING, *PINGS, *RESERVED_BITS, *OPCODES, *FRAGMENTS, *UTF8, *CLOSING, *LIMITS]


@pytest.fixture
async def relay(start_relay: StartRelay) -> RunningRelay:
    return await start_relay(accept_rate_per_s=100_000, accept_burst=100_000)


async def test_every_case_is_answered_as_it_should_be_and_hurts_nobody_else(
    relay: RunningRelay, pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    technician, gateway = await pair(relay)
    wrong = []
    for case in CASES:
        raw = await RawWebSocket.connect(relay.port, relay.tls)
        raw.writer.write(case.sent)
        heard = await raw.read_all()
        if (heard.close_code, heard.of(Opcode.PONG)) != (case.code, list(case.pongs)):
            wrong.append((case.name, case.code, heard))
    assert wrong == []
    technician.send(BURST)
    await gateway.receives([BURST])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "exc_info" not in said.out + said.err


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
async def test_it_does_not_matter_how_the_bytes_are_cut(relay: RunningRelay, piece: int) -> None:
    raw = await RawWebSocket.connect(relay.port, relay.tls)
    sent = frame(Opcode.PING, b"in octets") + frame(Opcode.PONG, bytes(125)) + END
    for start in range(0, len(sent), piece):
        raw.writer.write(sent[start : start + piece])
        await asyncio.sleep(0)
    heard = await raw.read_all()
    assert (heard.of(Opcode.PONG), heard.close_code) == ([b"in octets"], DONE)


@pytest.mark.parametrize(
    "offer",
    ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"],
)
async def test_no_extension_is_agreed_to(relay: RunningRelay, offer: str) -> None:
    header = f"Sec-WebSocket-Extensions: {offer}\r\n".encode()
    raw = await RawWebSocket.connect(relay.port, relay.tls, header)
    assert b"extensions" not in raw.head.lower()
    # A message that would grow without end is then a message with a reserved bit.
    raw.writer.write(frame(Opcode.BINARY, b"\xec\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee", rsv=4))
    assert (await raw.read_all()).close_code == PROTOCOL_ERROR


@pytest.mark.parametrize(
    "bad", [frame(2, BURST, rsv=4), frame(2, BURST, fin=False), frame(1, BURST), frame(2, b"\x10")]
)
async def test_what_is_no_plain_message_is_not_passed_on_even_by_an_admitted_leg(
    relay: RunningRelay, pair: Pair, bad: bytes
) -> None:
    technician, gateway = await pair(relay)
    assert technician.connection._transport is not None  # noqa: SLF001 - no library sends this
    technician.send(BURST)
    technician.connection._transport.underlying_transport.write(bad)  # noqa: SLF001
    await technician.reason()
    await gateway.until(lambda: not gateway.connection.is_paired)
    assert gateway.messages == [BURST]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    message=st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda tail: b"\x10" + tail)
    | st.binary(max_size=300).map(lambda tail: b"\x06" + tail)
)
def test_our_header_is_read_whole_or_refused(message: bytes) -> None:
    """`decode` raises nothing else, and reads nothing that it does not mean."""
    try:
        decoded = wire.decode(message)
    except wire.DecodeError:
        assert not is_burst(message)
    else:
        assert is_burst(message) == isinstance(decoded, wire.Data)
        assert wire.encode(decoded) == message


async def test_any_bytes_at_all_close_their_sender_and_nobody_else(
    relay: RunningRelay, pair: Pair, join: Join, capsys: pytest.CaptureFixture[str]
) -> None:
    technician, gateway = await pair(relay)
    bystander = await join(relay, Side.GATEWAY, session=OTHER_SESSION)

    @settings(max_examples=60, deadline=None, database=None)
    @given(sent=st.binary(min_size=1, max_size=200))
    def collect(sent: bytes) -> None:
        inputs.append(sent)

    inputs: list[bytes] = []
    collect()
    for sent in inputs:
        raw = await RawWebSocket.connect(relay.port, relay.tls)
        raw.writer.write(sent)
        raw.writer.write(frame(2, b"\x99") * 4)  # whatever frame was begun, it ends somewhere
        raw.writer.write(bytes(wire.MAX_MESSAGE_BYTES + 100))
        await raw.read_all()
    technician.send(BURST)
    await gateway.receives([BURST])
    assert bystander.messages == []
    assert "Traceback" not in "".join(capsys.readouterr())
