from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from rclib.runtime import local
from rclib.runtime.errors import StartError
from rclib.runtime.local import (
    LINE_LIMIT,
    Connection,
    LocalProtocolError,
    LocalUnavailable,
    Peer,
    PeerGone,
    connect_local,
    serve_local,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    LogLines = Callable[[], list[dict[str, Any]]]

CONNECT_WITHOUT_PRIVILEGES = """
import asyncio, os, sys
from pathlib import Path
from rclib.runtime.local import LocalUnavailable, connect_local

if os.getuid() == 0:
    os.setuid(65534)
try:
    asyncio.run(connect_local(Path(sys.argv[1]), 10, program="rcd"))
except LocalUnavailable as exc:
    print(exc)
"""

MYSELF = Peer(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())


async def echo(connection: Connection) -> None:
    while (line := await connection.receive()) is not None:
        await connection.send(line)


@asynccontextmanager
async def serving(
    path: Path,
    on_connection: Callable[[Connection], Awaitable[None]] = echo,
    *,
    allowed_uids: frozenset[int] | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[None]:
    stopping = stopping if stopping is not None else asyncio.Event()
    listening = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve_local(
                path,
                on_connection,
                allowed_uids=allowed_uids,
                stopping=stopping,
                listening=listening,
                program="rcd",
            )
        )
        await listening.wait()
        yield
        stopping.set()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Connection]:
    connection = await connect_local(path, 10)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rcd.sock"


class TestLines:
    async def test_they_arrive_as_they_were_sent(self, path: Path) -> None:
        async with serving(path), connected(path) as connection:
            for line in (b'{"op":"state"}', b"", b"x" * LINE_LIMIT, b"\r", bytes(range(11, 256))):
                await connection.send(line)

                assert await connection.receive() == line

    async def test_each_end_knows_the_process_at_the_other(self, path: Path) -> None:
        seen: list[Peer] = []

        async def look(connection: Connection) -> None:
            seen.append(connection.peer)

        async with serving(path, look), connected(path) as connection:
            assert await connection.receive() is None
            assert connection.peer == MYSELF
        assert seen == [MYSELF]

    async def test_several_tasks_may_send_without_mixing_lines(self, path: Path) -> None:
        async with serving(path), connected(path) as connection:
            lines = [bytes([65 + n]) * 20_000 for n in range(20)]

            async def read() -> set[bytes | None]:
                return {await connection.receive() for _ in lines}

            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(read())
                for line in lines:
                    tasks.create_task(connection.send(line))

            assert reading.result() == set(lines)

    @pytest.mark.parametrize("line", [b"x" * (LINE_LIMIT + 1), b"two\nlines"])
    async def test_what_is_not_one_line_is_our_own_mistake(self, path: Path, line: bytes) -> None:
        async with serving(path), connected(path) as connection:
            with pytest.raises(ValueError, match="not one line"):
                await connection.send(line)


class TestFaultyPeers:
    """A peer that breaks the protocol loses its own connection and gets one log line."""

    @pytest.mark.parametrize(
        "data", [b"x" * (LINE_LIMIT + 2), b"x" * (LINE_LIMIT + 1) + b"\n", b"ok\n" + b"x" * 200_000]
    )
    async def test_a_line_over_the_limit_ends_the_connection(
        self, path: Path, log_lines: LogLines, data: bytes
    ) -> None:
        async with serving(path), connected(path) as good:
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(data)
            with suppress(ConnectionError):  # reset, because it was closed with data unread
                async with asyncio.timeout(10):
                    await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

            await good.send(b"still served")
            assert await good.receive() == b"still served"

        (line,) = log_lines()
        assert line["event"] == "local_peer_faulted"
        assert f"longer than {LINE_LIMIT} bytes" in line["reason"]

    async def test_an_end_within_a_line_is_no_message(
        self, path: Path, log_lines: LogLines
    ) -> None:
        received: list[bytes] = []
        done = asyncio.Event()

        async def collect(connection: Connection) -> None:
            try:
                while (line := await connection.receive()) is not None:
                    received.append(line)
            finally:
                done.set()

        async with serving(path, collect):
            _reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"whole\nhal")
            writer.close()
            await writer.wait_closed()
            await done.wait()

        assert received == [b"whole"]
        assert "ended 3 bytes into a line" in log_lines()[0]["reason"]

    async def test_a_slow_reader_is_dropped(self, path: Path) -> None:
        gone = asyncio.Event()

        async def push(connection: Connection) -> None:
            connection._send_timeout_s = 0.1  # noqa: SLF001 -- instead of waiting for five seconds
            try:
                while True:
                    await connection.send(b"x" * LINE_LIMIT)
            except PeerGone:
                with pytest.raises(PeerGone, match="connection is closed"):
                    await connection.send(b"one more")
                gone.set()

        async with serving(path, push), connected(path):
            await asyncio.wait_for(gone.wait(), 10)

    async def test_a_slow_reader_costs_bounded_memory_however_many_tasks_send(
        self, path: Path
    ) -> None:
        buffered: list[int] = []
        measured = asyncio.Event()

        async def push(connection: Connection) -> None:
            transport = connection._writer.transport  # noqa: SLF001 -- nobody else knows
            connection._send_timeout_s = 0.2  # noqa: SLF001 -- instead of waiting for five seconds
            sends = (connection.send(b"x" * LINE_LIMIT) for _ in range(100))
            sending = [asyncio.create_task(send) for send in sends]
            while not all(task.done() for task in sending):
                buffered.append(transport.get_write_buffer_size())
                await asyncio.sleep(0)
            await asyncio.gather(*sending, return_exceptions=True)
            measured.set()

        async with serving(path, push), connected(path):
            await measured.wait()

        assert 0 < max(buffered) <= 3 * LINE_LIMIT

    async def test_sending_to_a_peer_that_left_is_no_surprise(self, path: Path) -> None:
        async def leave(_connection: Connection) -> None:
            return

        async with serving(path, leave), connected(path) as connection:
            assert await connection.receive() is None
            with pytest.raises(PeerGone):  # noqa: PT012 -- the first one may still be taken
                while True:
                    await connection.send(b"x")

    async def test_a_fault_of_a_handler_is_logged_and_stays_its_own(
        self, path: Path, log_lines: LogLines
    ) -> None:
        async def faulty(connection: Connection) -> None:
            if await connection.receive() == b"trip":
                raise RuntimeError("handler broke")
            await connection.send(b"fine")

        async with serving(path, faulty):
            async with connected(path) as first:
                await first.send(b"trip")
                assert await first.receive() is None
            async with connected(path) as second:
                await second.send(b"walk")
                assert await second.receive() == b"fine"

        (line,) = log_lines()
        assert line["event"] == "local_connection_failed"
        assert "RuntimeError: handler broke" in line["exception"]


class TestAdmission:
    async def test_a_uid_that_is_not_allowed_is_closed_with_one_log_line(
        self, path: Path, log_lines: LogLines
    ) -> None:
        served: list[Connection] = []

        async def serve(connection: Connection) -> None:
            served.append(connection)

        strangers = frozenset({os.getuid() + 1})
        async with serving(path, serve, allowed_uids=strangers):
            for _ in range(20):
                async with connected(path) as connection:
                    assert await connection.receive() is None

        assert served == []
        (line,) = log_lines()
        assert line["event"] == "local_peer_refused"
        assert line["reason"] == "this uid is not allowed"
        assert f"uid={os.getuid()}" in line["peer"]

    async def test_an_allowed_uid_is_served(self, path: Path) -> None:
        mine = frozenset({os.getuid()})
        async with serving(path, allowed_uids=mine), connected(path) as connection:
            await connection.send(b"x")
            assert await connection.receive() == b"x"

    async def test_there_are_only_so_many_connections(
        self, path: Path, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "MAX_CONNECTIONS", 2)
        async with serving(path), connected(path) as first, connected(path) as second:
            for connection in (first, second):
                await connection.send(b"x")
                assert await connection.receive() == b"x"
            async with connected(path) as third:
                assert await third.receive() is None

            await first.close()
            # The place is free when the server has seen the end: no event tells, so it is tried.
            async with asyncio.timeout(10):
                while not await self._is_served(path):
                    pass
        assert {line["reason"] for line in log_lines()} == {"too many connections"}

    async def _is_served(self, path: Path) -> bool:
        async with connected(path) as connection:
            try:
                await connection.send(b"x")
                return await connection.receive() == b"x"
            except PeerGone:
                return False


class TestStopping:
    async def test_lines_already_here_are_answered_before_the_end(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "CLOSING_GRACE_S", 1000)  # nobody has to be cancelled
        stopping, arrived = asyncio.Event(), asyncio.Event()

        async def slow_echo(connection: Connection) -> None:
            await arrived.wait()
            await echo(connection)

        async with connected_server(path, slow_echo, stopping) as connection:
            await connection.send(b"one")
            await connection.send(b"two")
            stopping.set()
            arrived.set()

            assert await connection.receive() == b"one"
            assert await connection.receive() == b"two"
            assert await connection.receive() is None
        assert os.listdir(path.parent) == []  # noqa: PTH208 -- pathlib's would need a thread

    async def test_a_handler_that_waits_for_something_else_is_cancelled(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "CLOSING_GRACE_S", 0.05)
        stopping, entered = asyncio.Event(), asyncio.Event()

        async def subscribe(_connection: Connection) -> None:
            entered.set()
            await asyncio.Event().wait()

        async with connected_server(path, subscribe, stopping) as connection:
            await entered.wait()
            stopping.set()

            assert await connection.receive() is None

    async def test_a_cancelled_server_leaves_no_socket_file(self, path: Path) -> None:
        listening = asyncio.Event()
        server = asyncio.create_task(
            serve_local(
                path, echo, allowed_uids=None, stopping=asyncio.Event(), listening=listening
            )
        )
        await listening.wait()
        async with connected(path) as connection:
            await connection.send(b"x")
            await connection.receive()
            server.cancel()
            with pytest.raises(asyncio.CancelledError):
                await server

        assert os.listdir(path.parent) == []  # noqa: PTH208 -- pathlib's would need a thread


@asynccontextmanager
async def connected_server(
    path: Path, on_connection: Callable[[Connection], Awaitable[None]], stopping: asyncio.Event
) -> AsyncIterator[Connection]:
    async with (
        serving(path, on_connection, stopping=stopping),
        connected(path) as connection,
    ):
        yield connection


async def test_a_second_server_does_not_start(path: Path) -> None:
    async with serving(path), connected(path) as connection:
        with pytest.raises(StartError, match="another rcd is running"):
            await serve_local(
                path, echo, allowed_uids=None, stopping=asyncio.Event(), program="rcd"
            )
        await connection.send(b"x")
        assert await connection.receive() == b"x"


class TestUnavailable:
    """The error names the program that does not run and how to start it."""

    async def connect(self, path: Path, timeout_s: float = 10) -> str:
        with pytest.raises(LocalUnavailable) as caught:
            await connect_local(
                path, timeout_s, program="rcd", hint="start it with: systemctl start rcd"
            )
        assert str(caught.value).endswith("; start it with: systemctl start rcd")
        return str(caught.value)

    async def test_nobody_there(self, path: Path) -> None:
        assert "rcd is not running: nobody answers" in await self.connect(path)

    async def test_somebody_was_there(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))

        assert "rcd is not running: nobody answers" in await self.connect(path)

    async def test_not_a_socket(self, tmp_path: Path) -> None:
        assert "rcd" in await self.connect(tmp_path)

    async def test_somebody_too_busy_to_accept(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(path))
            busy.listen(0)
            waiting.connect(str(path))

            assert "rcd does not answer" in await self.connect(path, 0.2)

            # Once it accepts, the next one in the queue is served.
            connecting = asyncio.create_task(connect_local(path, 10))
            busy.accept()[0].close()
            await (await connecting).close()

    def test_a_socket_this_user_may_not_reach(self, path: Path) -> None:
        path.parent.chmod(0)
        client = subprocess.run(
            [sys.executable, "-c", CONNECT_WITHOUT_PRIVILEGES, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        path.parent.chmod(0o700)

        assert client.stdout == f"no permission to talk to rcd on {path}\n"

    async def test_without_a_hint_the_error_ends_with_the_reason(self, path: Path) -> None:
        with pytest.raises(LocalUnavailable, match=f"{path}$"):
            await connect_local(path, 1)


async def test_a_protocol_error_is_told_apart_from_a_lost_peer() -> None:
    assert not issubclass(LocalProtocolError, ConnectionError)
    assert issubclass(PeerGone, ConnectionError)
