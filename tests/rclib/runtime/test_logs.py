from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import pty
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.logs import RateGate, RateLimitedLogger, configure_logging, get_logger
from rclib.runtime.secret import REDACTED, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

    LogLines = Callable[[], list[dict[str, Any]]]

FORGERY = 'x\n{"event":"login_accepted"}\r\x1b[2J\u202e'


class TestJson:
    def test_an_event_is_one_line_with_its_fields(self, log_lines: LogLines) -> None:
        get_logger("relayd", region="eu").info("leg_closed", bytes=7, reason="left")

        (line,) = log_lines()
        timestamp = line.pop("timestamp")
        assert timestamp.endswith("Z")
        assert line == {
            "event": "leg_closed",
            "level": "info",
            "program": "relayd",
            "region": "eu",
            "bytes": 7,
            "reason": "left",
        }

    def test_values_of_a_peer_cannot_break_the_line(self, log_lines: LogLines) -> None:
        get_logger("relayd").warning("peer_faulted", text=FORGERY, nested=[{FORGERY: FORGERY}])

        assert [line["event"] for line in log_lines()] == ["peer_faulted"]

    def test_a_secret_is_redacted_wherever_it_sits(self, log_lines: LogLines) -> None:
        log = get_logger("relayd").bind(token=SecretStr("hunter2"))
        log.info("token_read", nested={"deep": [SecretStr("hunter2")]})

        (line,) = log_lines()
        assert line["token"] == REDACTED
        assert line["nested"] == {"deep": [REDACTED]}

    def test_a_traceback_stays_within_the_line(self, log_lines: LogLines) -> None:
        try:
            raise ValueError(FORGERY)
        except ValueError:
            get_logger("relayd").exception("task_failed")

        (line,) = log_lines()
        assert "test_logs.py" in line["exception"]
        assert all(part.startswith("    ") for part in line["exception"].split("\n"))
        assert "\x1b" not in line["exception"]

    def test_an_endless_traceback_is_cut(self, log_lines: LogLines) -> None:
        get_logger("relayd").error("task_failed", exc_info=ValueError("line\n" * 10_000))

        assert len(log_lines()[0]["exception"].split("\n")) < 300


def test_structlog_is_loaded_for_the_first_line_only() -> None:
    program = """
import sys
from rclib.runtime.logs import configure_logging, get_logger
configure_logging("warning")
log = get_logger("rcc")
log.info("link_up")
assert "structlog" not in sys.modules
log.warning("link_down")
assert "structlog" in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert [msgspec.json.decode(line)["event"] for line in done.stderr.splitlines()] == [
        "link_down"
    ]


class TestStdlibLoggers:
    def test_messages_of_libraries_take_the_same_way(self, log_lines: LogLines) -> None:
        logging.getLogger("aiohttp.client").warning("bad %s from %s", FORGERY, SecretStr("hunter2"))

        (line,) = log_lines()
        assert (line["logger"], line["level"]) == ("aiohttp.client", "warning")
        assert "hunter2" not in line["event"]

    def test_their_tracebacks_too(self, log_lines: LogLines) -> None:
        try:
            raise ValueError("x")
        except ValueError:
            logging.getLogger("asyncio").exception("boom")

        assert "ValueError: x" in log_lines()[0]["exception"]

    def test_python_warnings_too(self, log_lines: LogLines) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old api", stacklevel=1)

        assert "old api" in log_lines()[0]["event"]


@pytest.mark.parametrize("emit", [get_logger("x").debug, logging.getLogger("x").debug])
def test_less_severe_events_are_left_out(keep_logging: None, emit: Callable[[str], None]) -> None:
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    emit("noise_made")

    assert stream.getvalue() == ""


async def test_what_is_no_http_leaves_no_line(log_lines: LogLines) -> None:
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
    finally:
        await runner.cleanup()
    assert log_lines() == []


@pytest.mark.usefixtures("keep_logging")
class TestPretty:
    def test_a_peer_drives_neither_the_line_nor_the_terminal(self) -> None:
        stream = io.StringIO()
        configure_logging(stream=stream, pretty=True)
        get_logger("relayd").warning("peer_faulted", text=FORGERY, nested={FORGERY: [FORGERY]})

        (line,) = stream.getvalue().splitlines()
        assert "peer_faulted" in line
        assert not {"\x1b", "\r", "\u202e"} & set(line)

    def test_a_forged_line_in_a_traceback_is_indented(self) -> None:
        stream = io.StringIO()
        configure_logging(stream=stream, pretty=True)
        get_logger("relayd").error("task_failed", exc_info=ValueError("x\n2026 forged"))

        assert "\n    2026 forged" in stream.getvalue()

    def test_a_terminal_gets_pretty_lines_and_a_pipe_json(self) -> None:
        leader, follower = pty.openpty()
        with open(follower, "w") as terminal:  # noqa: PTH123 -- a descriptor
            configure_logging(stream=terminal)
            get_logger("relayd").info("service_ready")
            shown = os.read(leader, 1000).decode()
        os.close(leader)

        assert "service_ready" in shown
        assert not shown.startswith("{")


class TestRateGate:
    def test_one_of_a_key_passes_per_interval_and_tells_how_many_did_not(self) -> None:
        gate = RateGate(10)

        assert [gate.admit("a", now) for now in (0, 1, 9.9, 10, 11, 20)] == [
            0,
            None,
            None,
            2,
            None,
            1,
        ]

    def test_keys_do_not_hold_each_other_back(self) -> None:
        gate = RateGate(10)

        assert gate.admit("a", 0) == gate.admit("b", 0) == 0

    def test_made_up_keys_share_one_turn(self) -> None:
        gate = RateGate(10, max_keys=4)
        admitted = [gate.admit(f"10.0.0.{n}", 0) for n in range(1000)]

        assert admitted.count(0) == 5
        assert gate.admit("another", 10) == 0
        assert gate.admit("10.0.0.0", 10) == 0

    @given(
        events=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 5))), max_keys=st.integers(1, 4)
    )
    def test_no_order_of_keys_gets_more_lines_through(
        self, events: list[tuple[int, float]], max_keys: int
    ) -> None:
        gate, now, admitted = RateGate(10, max_keys=max_keys), 0.0, []
        for key, pause in events:
            now += pause
            if gate.admit(key, now) is not None:
                admitted.append(now)

        for start in admitted:
            within = [time for time in admitted if start <= time < start + 10]
            assert len(within) <= 2 * (max_keys + 1)


def test_the_rate_limited_logger_reports_what_it_held_back(log_lines: LogLines) -> None:
    now = 0.0
    log = RateLimitedLogger(get_logger("relayd"), interval_s=60, clock=lambda: now)
    for _ in range(100):
        log.warning("packet_dropped", once_per="bad_magic", peer="192.0.2.1")
    now = 60.0
    log.error("packet_dropped", once_per="bad_magic")
    log.info("leg_opened", once_per="bad_magic")

    assert [(line["level"], line.get("held_back")) for line in log_lines()] == [
        ("warning", None),
        ("error", 99),
        ("info", None),
    ]


@pytest.mark.parametrize("end", ["theirs", "ours"])
def test_a_log_that_nobody_reads_any_more_hinders_nothing(end: str) -> None:
    theirs, ours = os.pipe()
    stream = os.fdopen(ours, "w", buffering=1)
    configure_logging(stream=stream)
    try:
        os.close(theirs)
        if end == "ours":
            stream.close()
        for number in range(1000):
            get_logger("rcd").info("tunnel_closed", number=number)
            logging.getLogger("aiohttp").warning("gone")
    finally:
        configure_logging()
        with contextlib.suppress(OSError):
            stream.close()
