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
    MAX_UNDER_WAY,
    Done,
    GateReply,
    Measured,
    Tampered,
    decode_request,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from rclib.runtime.local import Connection


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


async def test_answers_find_their_question_in_any_order(path: Path) -> None:
    async def backwards(connection: Connection) -> None:
        lines = [await connection.receive() for _ in range(2)]
        for line in reversed(lines):
            assert line is not None
            request = decode_request(line)
            await connection.send(encode(GateReply(request.number, Measured(()))))
        await connection.receive()

    async with served(path, backwards) as client:
        first, second = await asyncio.gather(client.measure(), client.measure())
        assert first == second == ()


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


async def test_no_more_than_agreed_are_under_way(path: Path) -> None:
    waiting: list[int] = []

    async def count(connection: Connection) -> None:
        while (line := await connection.receive()) is not None:
            waiting.append(decode_request(line).number)
            if len(waiting) == MAX_UNDER_WAY:
                await asyncio.sleep(0.05)  # would let one too many arrive
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await connection.receive()
            if len(waiting) >= MAX_UNDER_WAY:
                for number in waiting:
                    await connection.send(encode(GateReply(number, Measured(()))))
                waiting.clear()

    async with served(path, count) as client:
        await asyncio.gather(*(client.measure() for _ in range(2 * MAX_UNDER_WAY)))


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
