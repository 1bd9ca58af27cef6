from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from rclib.runtime.context import Context, open_context
from rclib.runtime.local import connect_local
from rclib.runtime.supervisor import EXIT_FAILED
from rclib.tunnel import gate_server
from rclib.tunnel.gate_client import GateClient, GateUnavailable
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_server import GateServer
from rclib.wire.gate import (
    Allow,
    GateError,
    GateReply,
    GateRequest,
    Gone,
    Measure,
    Measured,
    Open,
    Opened,
    Prepared,
    Renewed,
    Tampered,
    TunnelCounters,
    decode_frame,
    encode,
)
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

A, B = SessionId("ses_aaaaaaaaaaaaaaaa"), SessionId("ses_bbbbbbbbbbbbbbbb")
OPEN = Open(
    A,
    TunnelKey(bytes(32)),
    "100.64.0.1",
    "100.64.0.2",
    4000,
    (Allow("192.168.1.10", Protocol.TCP, 502),),
    1280,
)


class QuietGate:
    """A gate without a kernel: notes what it was asked, from which thread, and one at a time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.open_sessions: set[SessionId] = set()
        self.reports: list[Tampered | Gone] = []
        self.hold = threading.Event()
        self.hold.set()
        self._one = threading.Lock()

    def _note(self, verb: str) -> None:
        assert self._one.acquire(blocking=False), "two verbs at once"
        try:
            self.asked.append(verb)
            self.threads.add(threading.current_thread().name)
            assert self.hold.wait(10)
        finally:
            self._one.release()

    def sweep(self) -> None:
        self._note("sweep")

    def prepare(self, session: SessionId) -> Prepared:
        self._note("prepare")
        return Prepared(TunnelKey(bytes(32)))

    def begin(self, session: SessionId) -> None:
        """What nobody waits for is nothing to note."""

    def open(self, request: Open) -> Opened:
        self._note("open")
        if request.session in self.open_sessions:
            raise GateRefused(GateError.SESSION_EXISTS, "open already")
        self.open_sessions.add(request.session)
        return Opened("rcgaaaaaaaaaaaa", 4711, "kernel")

    def renew(self, sessions: Iterable[SessionId]) -> Renewed:
        self._note("renew")
        return Renewed(tuple(each for each in sessions if each not in self.open_sessions))

    def close(self, session: SessionId) -> None:
        self._note("close")
        self.open_sessions.discard(session)

    def close_all(self) -> None:
        self._note("close_all")
        self.open_sessions.clear()

    def measure(self) -> Measured:
        self._note("measure")
        return Measured(tuple(TunnelCounters(each, 1, 2, None) for each in self.open_sessions))

    def watch(self) -> tuple[Tampered | Gone, ...]:
        reports, self.reports = self.reports, []
        return tuple(reports)


@pytest.fixture
def gate() -> QuietGate:
    return QuietGate()


@asynccontextmanager
async def serving(
    gate: QuietGate, path: Path, *, uids: frozenset[int] | None = None, controllers: int = 1
) -> AsyncIterator[Context]:
    async with open_context("gate") as ctx:
        listening = asyncio.Event()
        server = GateServer(cast("Any", gate), ctx, max_controllers=controllers)
        task = ctx.tasks.create_task(
            server.run(
                path,
                allowed_uids=uids if uids is not None else frozenset({os.getuid()}),
                group=None,
                program="gate",
                listening=listening,
            )
        )
        await listening.wait()
        try:
            yield ctx
        finally:
            gate.hold.set()
            ctx.announce_stopping()
            await task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.sock"


async def eventually(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition, 5.0, "the gate")


class TestVerbs:
    async def test_each_verb_reaches_the_gate(self, gate: QuietGate, path: Path) -> None:
        async with serving(gate, path), await GateClient.connect(path) as client:
            assert await client.prepare(A) == bytes(32)
            assert (await client.open(OPEN)).listen_port == 4711
            assert await client.renew([A]) == ()
            assert await client.measure() == (TunnelCounters(A, 1, 2, None),)
            await client.close(A)
            assert await client.renew([A]) == (A,)
            await client.close_all()
        verbs = ["prepare", "open", "renew", "measure", "close", "renew", "close_all"]
        assert gate.asked == ["sweep", *verbs, "close_all", "sweep"]

    async def test_a_refusal_keeps_its_reason(self, gate: QuietGate, path: Path) -> None:
        async with serving(gate, path), await GateClient.connect(path) as client:
            await client.open(OPEN)
            with pytest.raises(GateRefused, match="open already") as refused:
                await client.open(OPEN)
            assert refused.value.error is GateError.SESSION_EXISTS

    async def test_verbs_run_one_after_the_other_on_one_thread(
        self, gate: QuietGate, path: Path
    ) -> None:
        async with serving(gate, path), await GateClient.connect(path) as client:
            await asyncio.gather(*(client.measure() for _ in range(50)))
        assert len(gate.threads) == 1
        assert threading.current_thread().name not in gate.threads

    async def test_what_is_under_way_is_bounded(self, gate: QuietGate, path: Path) -> None:
        """Further requests wait in the socket, not in the gate's memory."""
        async with serving(gate, path):
            connection = await connect_local(path, 1)
            gate.hold.clear()
            for number in range(1, 100):
                await connection.send(encode(GateRequest(number, Measure())))
            await eventually(lambda: "measure" in gate.asked)
            gate.hold.set()
            for number in range(1, 100):
                line = await connection.receive()
                assert line is not None
                assert decode_frame(line) == GateReply(number, Measured(()))
            await connection.close()


class TestControl:
    async def test_sessions_live_no_longer_than_their_connection(
        self, gate: QuietGate, path: Path
    ) -> None:
        async with serving(gate, path):
            async with await GateClient.connect(path) as client:
                await client.open(OPEN)
                assert gate.open_sessions == {A}
            await eventually(lambda: not gate.open_sessions)

    async def test_a_dead_client_does_not_wait_for_its_last_wish(
        self, gate: QuietGate, path: Path
    ) -> None:
        """What it asked for before it died is not carried out any more."""
        async with serving(gate, path):
            connection = await connect_local(path, 1)
            gate.hold.clear()
            await connection.send(encode(GateRequest(1, Measure())))
            await connection.send(encode(GateRequest(2, OPEN)))
            await eventually(lambda: "measure" in gate.asked)
            connection.abort()
            await asyncio.sleep(0.05)  # for the end to arrive: nothing shows that from outside
            gate.hold.set()
            await eventually(lambda: "close_all" in gate.asked)
        assert "open" not in gate.asked
        assert not gate.open_sessions

    async def test_one_connection_controls_the_gate(
        self, gate: QuietGate, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_server, "_SUCCESSION_S", 0.1)
        async with serving(gate, path), await GateClient.connect(path) as first:
            await first.open(OPEN)
            async with await GateClient.connect(path) as second:
                with pytest.raises(GateUnavailable):
                    await second.close_all()
            assert gate.open_sessions == {A}
            await first.measure()

    async def test_a_successor_takes_over_once_everything_is_closed(
        self, gate: QuietGate, path: Path
    ) -> None:
        async with serving(gate, path):
            first = await GateClient.connect(path)
            await first.open(OPEN)
            async with await GateClient.connect(path) as second:
                await first.aclose()
                assert await second.renew([A]) == (A,)

    async def test_strangers_are_not_served(self, gate: QuietGate, path: Path) -> None:
        uids = frozenset({os.getuid() + 1})
        async with serving(gate, path, uids=uids), await GateClient.connect(path) as client:
            with pytest.raises(GateUnavailable):
                await client.prepare(A)
        assert "prepare" not in gate.asked

    @pytest.mark.parametrize("line", [b"", b"{}", b"\xff", b'{"type":"request","number":0}'])
    async def test_a_peer_that_breaks_the_protocol_loses_its_connection_and_sessions(
        self, gate: QuietGate, path: Path, line: bytes
    ) -> None:
        async with serving(gate, path):
            connection = await connect_local(path, 1)
            await connection.send(encode(GateRequest(1, OPEN)))
            assert await connection.receive() is not None
            await connection.send(line)
            assert await connection.receive() is None
            await eventually(lambda: not gate.open_sessions)
            await connection.close()


class TestSeveralControllers:
    """The technician's gate: one connection for each session's process."""

    async def test_a_connection_sees_and_touches_its_own_sessions_only(
        self, gate: QuietGate, path: Path
    ) -> None:
        async with (
            serving(gate, path, controllers=2),
            await GateClient.connect(path) as first,
            await GateClient.connect(path) as second,
        ):
            await first.open(OPEN)
            await second.open(msgspec.structs.replace(OPEN, session=B))
            assert [each.session for each in await second.measure()] == [B]
            assert await second.renew([A, B]) == (A,)
            for verb in (second.prepare(A), second.open(OPEN)):
                with pytest.raises(GateRefused) as refused:
                    await verb
                assert refused.value.error is GateError.SESSION_EXISTS
            with pytest.raises(GateRefused) as refused:
                await second.probe(A)
            assert refused.value.error is GateError.UNKNOWN_SESSION
            await second.close(A)
            assert gate.open_sessions == {A, B}
            await second.close_all()
            assert gate.open_sessions == {A}
            await first.measure()

    async def test_the_end_of_one_connection_leaves_the_others_sessions_open(
        self, gate: QuietGate, path: Path
    ) -> None:
        async with serving(gate, path, controllers=2), await GateClient.connect(path) as first:
            await first.open(OPEN)
            async with await GateClient.connect(path) as second:
                await second.open(msgspec.structs.replace(OPEN, session=B))
                assert gate.open_sessions == {A, B}
            await eventually(lambda: gate.open_sessions == {A})
            assert [each.session for each in await first.measure()] == [A]

    async def test_a_session_that_was_refused_belongs_to_nobody(
        self, gate: QuietGate, path: Path
    ) -> None:
        gate.open_sessions = {A}
        async with (
            serving(gate, path, controllers=2),
            await GateClient.connect(path) as first,
            await GateClient.connect(path) as second,
        ):
            with pytest.raises(GateRefused):
                await first.open(OPEN)
            gate.open_sessions.clear()
            await second.open(OPEN)

    async def test_one_hears_what_went_and_all_hear_of_tampering(
        self, gate: QuietGate, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_server, "WATCH_S", 0.01)
        async with (
            serving(gate, path, controllers=2),
            await GateClient.connect(path) as first,
            await GateClient.connect(path) as second,
        ):
            await first.open(OPEN)
            await second.measure()
            gate.reports = [Gone(A, "it went"), Tampered("somebody did it")]
            first_hears, second_hears = first.events(), second.events()
            assert await anext(first_hears) == Gone(A, "it went")
            assert await anext(first_hears) == Tampered("somebody did it")
            assert await anext(second_hears) == Tampered("somebody did it")


class TestWatch:
    async def test_reports_reach_the_controlling_connection(
        self, gate: QuietGate, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_server, "WATCH_S", 0.01)
        async with serving(gate, path), await GateClient.connect(path) as client:
            await client.prepare(A)
            gate.reports = [Gone(A, "it went"), Tampered("somebody did it")]
            events = client.events()
            assert await anext(events) == Gone(A, "it went")
            assert await anext(events) == Tampered("somebody did it")

    async def test_tampering_nobody_heard_of_is_told_to_the_next_controller(
        self, gate: QuietGate, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_server, "WATCH_S", 0.01)
        async with serving(gate, path):
            gate.reports = [Tampered("somebody did it")]
            await eventually(lambda: not gate.reports)
            async with await GateClient.connect(path) as client:
                assert await anext(client.events()) == Tampered("somebody did it")

    async def test_the_watch_feeds_the_watchdog(self, gate: QuietGate, path: Path) -> None:
        async with serving(gate, path) as ctx:
            await eventually(lambda: ctx.health.reported_at is not None)


async def test_the_gate_is_swept_at_the_start_and_at_the_end(gate: QuietGate, path: Path) -> None:
    async with serving(gate, path):
        assert gate.asked == ["sweep"]
        assert path.exists()
    assert gate.asked == ["sweep", "sweep"]
    assert not path.exists()


async def hang(path: Path) -> None:
    """Serve a gate that takes a step without an end; run as a process of its own."""
    gate_server.STEP_S = 1
    gate = QuietGate()
    async with serving(gate, path), await GateClient.connect(path) as client:
        gate.hold.clear()
        await client.measure()


def test_a_step_that_never_ends_ends_the_process(path: Path) -> None:
    script = (
        "import asyncio, pathlib, runpy\n"
        f"hang = runpy.run_path({__file__!r})['hang']\n"
        f"asyncio.run(hang(pathlib.Path({str(path)!r})))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_FAILED
    assert "step_hung" in done.stdout + done.stderr
    assert "in measure" in done.stderr, "its stacks say where"
