"""The client against servers that answer wrongly, late or not at all."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.local import serve_local
from rclib.tunnel import gate_client
from rclib.tunnel.gate_client import GateClient, GateUnavailable
from rclib.wire.gate import (
    Allow,
    Done,
    GateReply,
    Measured,
    Open,
    Opened,
    Tampered,
    decode_request,
    encode,
)
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from rclib.runtime.local import Connection
    from rclib.wire.gate import Result

OPEN = Open(
    SessionId("ses_aaaaaaaaaaaaaaaa"),
    TunnelKey(bytes(32)),
    "100.64.0.1",
    "100.64.0.2",
    4000,
    (Allow("192.168.1.10", Protocol.TCP, 502),),
    1280,
)


@asynccontextmanager
async def served(
    path: Path, handler: Callable[[Connection], Awaitable[None]]
) -> AsyncIterator[GateClient]:
    """Yield a client of a server that treats its connection like this."""
    stopping, listening = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve_local(path, handler, allowed_uids=None, stopping=stopping, listening=listening)
        )
        await listening.wait()
        async with await GateClient.connect(path, program="rcd-gate") as client:
            yield client
        stopping.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.sock"


async def test_without_a_gate_the_message_says_how_to_start_it(path: Path) -> None:
    with pytest.raises(GateUnavailable, match=r"rcd-gate is not running.*systemctl start"):
        await GateClient.connect(path, program="rcd-gate", hint="systemctl start rcd-gate")


async def test_a_question_waits_its_turn_and_then_has_all_of_its_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate carries out one at a time: behind a slow one nobody is late."""
    monkeypatch.setattr(gate_client, "ANSWER_S", 1.0)
    opening = asyncio.Event()

    async def one_by_one(connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            request = decode_request(line)
            if isinstance(request.verb, Open):
                opening.set()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.1):  # nothing else is asked meanwhile
                        await connection.receive()
                result: Result = Opened("rcgaaaaaaaaaaaa", 4711, "kernel")
            else:
                result = Measured(())
            await connection.send(encode(GateReply(request.number, result)))

    async with served(path, one_by_one) as client, asyncio.TaskGroup() as tasks:
        opened = tasks.create_task(client.open(OPEN))
        await opening.wait()
        measured = tasks.create_task(client.measure())
        assert await measured == ()
        assert opened.done()


async def test_a_gate_that_hangs_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_client, "ANSWER_S", 0.1)
    ended = asyncio.Event()

    async def silent(connection: Connection) -> None:
        while await connection.receive() is not None:
            pass
        ended.set()

    async with served(path, silent) as client:
        with pytest.raises(GateUnavailable, match=r"rcd-gate did not answer within 0\.1 s"):
            await client.measure()
        async with asyncio.timeout(2):
            await ended.wait()
        with pytest.raises(GateUnavailable, match="did not answer"):
            await client.measure()


async def test_a_lost_connection_fails_whoever_waits(path: Path) -> None:
    async def hang_up(connection: Connection) -> None:
        await connection.receive()

    async with served(path, hang_up) as client:
        with pytest.raises(GateUnavailable, match="rcd-gate closed the connection"):
            await client.measure()
        with pytest.raises(GateUnavailable, match="rcd-gate closed the connection"):
            async for _ in client.events():
                pass


@pytest.mark.parametrize(
    "line", [b"nonsense", encode(GateReply(1, Done())), b'{"type":"surprise"}']
)
async def test_a_gate_that_talks_nonsense_is_let_go(path: Path, line: bytes) -> None:
    async def babble(connection: Connection) -> None:
        await connection.receive()
        await connection.send(line)
        await connection.receive()

    async with served(path, babble) as client:
        with pytest.raises(GateUnavailable, match="rcd-gate"):
            await client.measure()
        with pytest.raises(GateUnavailable):
            await client.measure()


async def test_an_answer_nobody_waits_for_is_ignored(path: Path) -> None:
    async def twice(connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            for number in (decode_request(line).number, 999):
                await connection.send(encode(GateReply(number, Measured(()))))

    async with served(path, twice) as client:
        await client.measure()
        await client.measure()


async def test_with_a_gate_that_hangs_whoever_waits_for_his_turn_is_told_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_client, "ANSWER_S", 0.1)
    asked: list[bytes] = []

    async def silent(connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            asked.append(line)

    async with served(path, silent) as client:
        questions = (client.measure() for _ in range(3))
        answers = await asyncio.gather(*questions, return_exceptions=True)
    assert [type(each) for each in answers] == 3 * [GateUnavailable]
    assert len(asked) == 1


async def test_events_end_quietly_when_the_client_lets_go(path: Path) -> None:
    async def report(connection: Connection) -> None:
        await connection.send(encode(Tampered("somebody did it")))
        await connection.receive()

    async with served(path, report) as client:
        events = client.events()
        assert await anext(events) == Tampered("somebody did it")
        await client.aclose()
        assert [event async for event in events] == []
        await client.aclose()


async def test_a_flood_of_events_costs_the_connection(path: Path) -> None:
    async def flood(connection: Connection) -> None:
        for _ in range(1000):
            await connection.send(encode(Tampered("again")))

    async with served(path, flood) as client:
        with pytest.raises(GateUnavailable, match="events"):
            async with asyncio.timeout(5):
                await client.measure()
