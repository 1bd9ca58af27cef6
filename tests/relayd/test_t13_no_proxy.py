"""T13: the relay reaches nothing but the other leg of the same session.

There is no destination field, so there are no frames "to an unknown peer": what remains is to
show that nothing a leg or a stranger sends gets anywhere else.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from rclib.tunnel.relay_leg import LegState
from rclib.wire import relay as wire
from rclib.wire.identity import Side
from rclib.wire.ids import SessionId
from rclib.wire.relay import CloseReason, FrameType
from tests.relayd.raw_websocket import Opcode, RawWebSocket, frame

if TYPE_CHECKING:
    from tests.relayd.conftest import Call, Join, Pair, RunningRelay, StartRelay

BURST = wire.data_header(4) + b"\x04123"
OTHER_SESSION = SessionId("ses_" + "b" * 16)
REFUSED = (b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 426 ")


async def test_no_frame_of_any_type_reaches_another_session_or_its_own_sender(
    start_relay: StartRelay, pair: Pair, join: Join
) -> None:
    relay = await start_relay(accept_rate_per_s=1000)
    technician, gateway = await pair(relay)
    bodies = [b"", bytes(8), bytes(32), SessionIdBytes, b"\x00\x04" + bytes(8), bytes(200)]
    for kind in range(256):
        sender = await join(relay, Side.GATEWAY, session=OTHER_SESSION)
        await sender.reaches(LegState.ALONE)
        for body in bodies:
            if sender.core.state is LegState.ENDED:
                break
            sender.send(bytes((kind,)) + body)
        assert sender.messages == sender.signals == []
        await sender.connection.close()
    assert technician.messages == gateway.messages == []
    assert technician.signals == gateway.signals == []
    gateway.send(BURST)
    await technician.receives([BURST])


SessionIdBytes = (b"ses_" + b"a" * 16) * 2
"""Whom a frame might name, if there were a field for it."""


async def test_what_a_leg_sends_never_comes_back_to_it(relay: RunningRelay, pair: Pair) -> None:
    technician, gateway = await pair(relay)
    for message in (BURST, wire.encode(wire.Signal(b"to the other one"))):
        technician.send(message)
    await gateway.until(lambda: bool(gateway.messages and gateway.signals))
    assert technician.messages == technician.signals == []


async def test_of_two_legs_of_one_key_the_newest_gets_everything(
    relay: RunningRelay, pair: Pair, join: Join
) -> None:
    technician, old = await pair(relay)
    new = await join(relay, Side.GATEWAY)
    assert await old.reason() is CloseReason.REPLACED
    await new.reaches(LegState.PAIRED)
    technician.send(BURST)
    await new.receives([BURST])
    assert old.messages == []
    assert relay.metric("relayd_closed_legs_total", reason="replaced") == 1


@pytest.mark.parametrize("kind", [FrameType.READY, FrameType.GONE, FrameType.CHALLENGE])
async def test_a_leg_cannot_speak_for_the_relay(
    relay: RunningRelay, pair: Pair, kind: FrameType
) -> None:
    technician, gateway = await pair(relay)
    body = {FrameType.READY: b"\x00", FrameType.GONE: b"", FrameType.CHALLENGE: bytes(32)}[kind]
    technician.send(bytes((kind,)) + body)
    assert await technician.reason() is CloseReason.BAD_FRAME
    await gateway.reaches(LegState.ALONE)


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT {victim} HTTP/1.1",
        "GET http://{victim}/ HTTP/1.1",
        "GET ws://{victim}/relay HTTP/1.1",
        "GET /relay?to={victim} HTTP/1.1",
        "GET //{victim}/relay HTTP/1.1",
        "POST /relay HTTP/1.1",
    ],
)
async def test_it_connects_to_nobody(relay: RunningRelay, call: Call, request_line: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as victim:
        victim.setblocking(False)
        name = f"127.0.0.1:{victim.getsockname()[1]}"
        reader, writer = await call(relay.port, tls=relay.tls)
        head = request_line.format(victim=name)
        websocket = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        writer.write(f"{head}\r\nHost: {name}\r\n{websocket}\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer == b"" or answer.startswith(REFUSED)
        with pytest.raises(BlockingIOError):
            victim.accept()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
async def test_a_header_gives_nobody_another_address(
    start_relay: StartRelay, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    """Neither in the limits per address nor in the log."""
    relay = await start_relay(max_unadmitted_per_address=3, hello_timeout_s=30)
    opened = [
        await RawWebSocket.connect(
            relay.port, relay.tls, f"{header}: 203.0.113.{number}\r\n".encode()
        )
        for number in range(3)
    ]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await RawWebSocket.connect(relay.port, relay.tls, f"{header}: 203.0.113.99\r\n".encode())
    assert relay.metric("relayd_refused_accepts_total", reason="address") == 1
    for raw in opened:
        raw.writer.write(frame(Opcode.BINARY, b"\x99"))
        await raw.read_all()
    await relay.stop()
    said = "".join(capsys.readouterr())
    assert "127.0.0.1" in said
    assert "203.0.113" not in said
