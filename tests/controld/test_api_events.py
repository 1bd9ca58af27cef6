"""Live state: each change once, in order, to those who may know of it, from where they left off."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.controld.callers import Api
    from tests.controld.world import Rig, World


class Reader:
    """One open stream."""

    def __init__(self, response: Any) -> None:  # noqa: ANN401 -- aiohttp's
        self.response = response
        self.last_id = ""

    async def event(self) -> tuple[str, Any]:
        """The next event and its data; comments and bare ids are passed over."""
        kind, data = "", None
        async with asyncio.timeout(10):
            async for line in self.response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                match name:
                    case "event":
                        kind = value
                    case "data":
                        data = json.loads(value) if value else None
                    case "id":
                        self.last_id = value
                    case "" | ":" if kind:
                        return kind, data
        return "closed", None


@asynccontextmanager
async def reading(caller: Api, last_id: str | None = None) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {caller.token}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    url = f"{caller.base}/api/v1/events"
    async with caller.http.get(url, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Reader(response)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controld.api_events.LOOK_S", 0.02)


async def test_a_start_is_seen_by_the_technician_and_by_nobody_it_is_not_for(rig: Rig) -> None:
    _, otto = await rig.world.admin.new_user("otto", "rc_user")
    async with reading(rig.technician) as tina, reading(otto) as other:
        await rig.ticket()
        kind, change = await tina.event()
        assert (kind, change["action"]) == ("change", "session_started")
        assert change["session"] == rig.session
        waiting = asyncio.create_task(other.event())
        await rig.world.admin.ok("POST", f"/sessions/{rig.session}/end")
        assert (await tina.event())[1]["action"] == "session_ended"
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_who_comes_back_misses_nothing_and_gets_nothing_twice(world: World) -> None:
    async with reading(world.admin) as first:
        await world.admin.ok("POST", "/gateways", {"name": "one"})
        seen = [(await first.event())[1] for _ in range(2)]
        last = first.last_id
    await world.admin.ok("POST", "/gateways", {"name": "two"})
    async with reading(world.admin, last) as second:
        seen += [(await second.event())[1] for _ in range(2)]
    assert [change["action"] for change in seen] == ["gateway_created", "enrolment_issued"] * 2
    numbers = [change["seq"] for change in seen]
    assert numbers == sorted(set(numbers))


async def test_a_stream_ends_with_its_token(world: World) -> None:
    boss = (await world.admin.new_user("boss", "administrator"))[1]
    async with reading(boss) as reader:
        await boss.ok("POST", "/logout")
        kind = "change"
        while kind == "change":
            kind, _ = await reader.event()
        assert kind == "over"


async def test_only_so_many_streams_are_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controld.api_events.MAX_STREAMS", 1)
    async with reading(world.admin):
        assert (await world.admin("GET", "/events")).code == "too_many_streams"
