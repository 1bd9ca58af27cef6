from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from rclib.runtime.clock import boottime
from rclib.runtime.context import open_context
from rclib.runtime.health import HealthState
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Play the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(str(tmp_path / "notify"))
        yield sock


class TestAnnouncements:
    async def test_each_reaches_systemd_and_healthz(
        self, manager: socket.socket, log_lines: LogLines
    ) -> None:
        async with open_context("mini", notifier=Notifier(manager.getsockname())) as ctx:
            assert ctx.health.state(boottime()) is HealthState.STARTING

            ctx.ready("listening")
            assert manager.recv(1000) == b"READY=1\nSTATUS=listening"
            assert ctx.health.state(boottime()) is HealthState.OK

            ctx.status("3 sessions")
            assert manager.recv(1000) == b"STATUS=3 sessions"
            assert ctx.health.text == "3 sessions"

            ctx.healthy()
            assert manager.recv(1000) == b"WATCHDOG=1"
            assert ctx.health.reported_at == pytest.approx(boottime(), abs=5)

            ctx.announce_stopping()
            assert manager.recv(1000) == b"STOPPING=1"
            assert ctx.stopping.is_set()
            assert ctx.health.state(boottime()) is HealthState.STOPPING

        assert [line["event"] for line in log_lines()] == ["service_ready"]

    async def test_stopping_is_announced_once(self, manager: socket.socket) -> None:
        async with open_context("mini", notifier=Notifier(manager.getsockname())) as ctx:
            ctx.announce_stopping()
            ctx.announce_stopping()

        assert manager.recv(1000) == b"STOPPING=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(1000)

    async def test_setting_the_event_directly_is_announced_as_well(
        self, manager: socket.socket
    ) -> None:
        async with open_context("mini", notifier=Notifier(manager.getsockname())) as ctx:
            ctx.stopping.set()
            ctx.announce_stopping()

        assert manager.recv(1000) == b"STOPPING=1"

    async def test_the_work_never_feeds_the_watchdog_by_itself(
        self, manager: socket.socket
    ) -> None:
        async with open_context("mini", notifier=Notifier(manager.getsockname())) as ctx:
            ctx.ready("")
            assert manager.recv(1000).startswith(b"READY=1")

            assert ctx.health.reported_at is None

    async def test_hindered_work_feeds_the_watchdog_and_still_grows_stale(
        self, manager: socket.socket
    ) -> None:
        async with open_context("mini", notifier=Notifier(manager.getsockname())) as ctx:
            ctx.alive()

            assert manager.recv(1000) == b"WATCHDOG=1"
            assert ctx.health.reported_at is None

    async def test_a_manager_out_of_reach_is_logged_once(
        self, tmp_path: Path, log_lines: LogLines
    ) -> None:
        async with open_context("mini", notifier=Notifier(str(tmp_path / "nobody"))) as ctx:
            for _ in range(100):
                ctx.healthy()

        assert [line["event"] for line in log_lines()] == ["notification_failed"]


class TestLifetime:
    async def test_tasks_that_are_left_are_cancelled_before_the_cleanup(self) -> None:
        order: list[str] = []
        running = asyncio.Event()

        async def endless() -> None:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                order.append("task ended")

        async with open_context("mini") as ctx:
            ctx.cleanup.callback(order.append, "first in, last out")
            ctx.cleanup.callback(order.append, "last in, first out")
            ctx.tasks.create_task(endless())
            await running.wait()

        assert order == ["task ended", "last in, first out", "first in, last out"]

    async def test_a_failed_task_ends_the_body_and_arrives_as_a_group(self) -> None:
        async def faulty() -> NoReturn:
            raise RuntimeError("task broke")

        async def service() -> None:
            async with open_context("mini") as ctx:
                ctx.tasks.create_task(faulty())
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            await service()
        assert caught.group_contains(RuntimeError, match="task broke")

    async def test_a_failed_body_still_cleans_up(self) -> None:
        undone: list[str] = []

        async def service() -> None:
            async with open_context("mini") as ctx:
                ctx.cleanup.callback(undone.append, "undone")
                raise RuntimeError("body broke")

        with pytest.raises(ExceptionGroup):
            await service()
        assert undone == ["undone"]

    async def test_the_status_pages_close_with_it(self) -> None:
        async with open_context("mini") as ctx:
            endpoint = await ctx.serve_status(StatusConfig(listen="127.0.0.1:0"))
            assert endpoint is not None
            socket.create_connection(endpoint.sockaddr, timeout=5).close()

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(endpoint.sockaddr, timeout=5)

    async def test_status_pages_switched_off_have_no_address(self) -> None:
        async with open_context("mini") as ctx:
            assert await ctx.serve_status(StatusConfig()) is None
