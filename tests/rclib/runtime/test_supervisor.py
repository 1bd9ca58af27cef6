from __future__ import annotations

import asyncio
import signal
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from rclib.runtime.errors import StartError
from rclib.runtime.loop import new_event_loop
from rclib.runtime.supervisor import Supervisor, tell_operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rclib.runtime.context import Context

    StartDaemon = Callable[..., Any]


class TestRegularEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_lets_the_service_shut_down(
        self, start_daemon: StartDaemon, number: signal.Signals
    ) -> None:
        daemon = start_daemon()
        daemon.read_until("service_ready")
        daemon.send(number)

        assert daemon.end() == (0, "")
        assert daemon.events == [
            "service_ready",
            "stop_requested",
            "shutdown_done",
            "service_stopped",
        ]
        assert daemon.log[1]["signal"] == number.name

    def test_a_service_that_returns_takes_its_tasks_along(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon("--behaviour", "leave")

        assert daemon.end() == (0, "")
        assert daemon.events == ["service_stopped"]

    def test_a_second_sigterm_is_no_reason_to_hurry(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon("--behaviour", "linger")
        daemon.read_until("service_ready")
        daemon.send(signal.SIGTERM)
        daemon.read_until("stop_requested")
        daemon.send(signal.SIGTERM)
        daemon.read_until("shutdown_overran")

        assert "stop_forced" not in daemon.events


class TestDeadline:
    @pytest.mark.parametrize("behaviour", ["linger", "clean_up_slowly"])
    def test_a_service_that_does_not_return_is_cancelled(
        self, start_daemon: StartDaemon, behaviour: str
    ) -> None:
        daemon = start_daemon("--behaviour", behaviour)
        daemon.read_until("service_ready")
        daemon.send(signal.SIGTERM)

        assert daemon.end() == (1, "")
        (line,) = [line for line in daemon.log if line["event"] == "shutdown_overran"]
        assert line["deadline_s"] == 0.5

    def test_a_second_sigint_cancels_at_once(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon("--behaviour", "linger")
        daemon.read_until("service_ready")
        daemon.send(signal.SIGINT)
        daemon.read_until("stop_requested")
        daemon.send(signal.SIGINT)

        assert daemon.end() == (1, "")
        assert daemon.events[-1] == "stop_forced"

    @pytest.mark.parametrize("behaviour", ["ignore_cancellation", "block_thread"])
    def test_what_cannot_be_cancelled_is_cut_off(
        self, start_daemon: StartDaemon, behaviour: str
    ) -> None:
        daemon = start_daemon("--behaviour", behaviour, MINI_GRACE_S="0.1")
        daemon.read_until("service_ready")
        daemon.send(signal.SIGTERM)

        assert daemon.end() == (1, "")
        assert daemon.events[-1] == "shutdown_hung"

    def test_a_thread_that_hangs_after_the_service_has_returned_is_cut_off_as_well(
        self, start_daemon: StartDaemon
    ) -> None:
        daemon = start_daemon("--behaviour", "leave_thread", MINI_GRACE_S="0.1")

        assert daemon.end() == (1, "")
        assert daemon.events[-1] == "shutdown_hung"

    def test_it_runs_from_the_moment_a_task_failed(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon("--behaviour", "crash_and_linger")

        assert daemon.end() == (1, "")
        assert daemon.events == ["shutdown_overran", "service_failed"]


class TestFailure:
    def test_a_failed_task_ends_the_process_with_one_log_line(
        self, start_daemon: StartDaemon
    ) -> None:
        daemon = start_daemon("--behaviour", "crash")

        assert daemon.end() == (1, "")
        assert daemon.events == ["shutdown_done", "service_failed"]
        assert "RuntimeError: task broke" in daemon.log[-1]["exception"]
        assert len(daemon.text) == 2

    def test_a_failed_callback_is_reported_and_cannot_flood_the_log(
        self, start_daemon: StartDaemon
    ) -> None:
        daemon = start_daemon("--behaviour", "fail_callback")
        daemon.read_until("service_ready")
        daemon.send(signal.SIGTERM)

        assert daemon.end() == (0, "")
        assert daemon.events.count("callback_failed") == 1
        assert "RuntimeError: callback broke" in daemon.log[0]["exception"]


class TestNotification:
    @pytest.mark.parametrize("abstract", [False, True])
    def test_systemd_hears_when_the_service_is_ready_and_when_it_stops(
        self, start_daemon: StartDaemon, tmp_path: Path, *, abstract: bool
    ) -> None:
        path = str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(30)
            manager.bind(f"\0{path}" if abstract else path)
            daemon = start_daemon(NOTIFY_SOCKET=f"@{path}" if abstract else path)

            assert manager.recv(1000) == b"READY=1\nSTATUS=serving"
            daemon.send(signal.SIGTERM)
            assert manager.recv(1000) == b"STOPPING=1"
        assert daemon.end()[0] == 0

    def test_a_manager_out_of_reach_is_reported_and_survived(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        daemon = start_daemon(NOTIFY_SOCKET=str(tmp_path / "nobody"))
        daemon.read_until("notification_failed")
        daemon.send(signal.SIGTERM)

        assert daemon.end()[0] == 0


def test_the_status_pages_live_as_long_as_the_service(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    config = tmp_path / "mini.toml"
    config.write_text('behaviour = "show_status"\n[status]\nlisten = "127.0.0.1:0"')
    daemon = start_daemon("--config", str(config))
    address = daemon.read_until("service_ready")["status"].removeprefix("status on ")

    with urllib.request.urlopen(f"http://{address}/healthz", timeout=10) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        assert b'remoteconnect_build_info{program="mini"' in response.read()

    daemon.send(signal.SIGTERM)
    assert daemon.end()[0] == 0


def test_a_service_beside_a_user_interface_runs_in_a_thread_and_is_stopped_by_it(
    log_lines: object,
) -> None:
    context: list[Context] = []
    started, results = threading.Event(), []

    async def run(ctx: Context) -> None:
        context.append(ctx)
        started.set()
        await ctx.stopping.wait()

    def host() -> None:
        supervisor = Supervisor(
            "mini", run, config_dir=None, shutdown_deadline_s=5, stale_after_s=20
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            loops.append(runner.get_loop())
            results.append(runner.run(supervisor.supervise()))
        supervisor.disarm()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=host)
    thread.start()
    assert started.wait(10)
    loops[0].call_soon_threadsafe(context[0].stopping.set)
    thread.join(10)

    assert results == [0]
    assert not [timer for timer in threading.enumerate() if isinstance(timer, threading.Timer)]


def test_each_mistake_is_told_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    status = tell_operator("mini", [StartError("a\nb"), StartError("c")])

    assert status == 2
    assert capsys.readouterr().err == "mini: a\\nb\nmini: c\n"
