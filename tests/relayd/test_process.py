"""The program as operators run it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rclib.tunnel.relay_leg import LegState
from rclib.wire.identity import Side
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.relayd.conftest import Authority, Join, ProcessRelay

PATIENCE_S = 15


@asynccontextmanager
async def relayd(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "relayd", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def log_lines(process: asyncio.subprocess.Process, event: str) -> list[dict[str, object]]:
    """Read the log until an event."""
    assert process.stderr is not None
    lines: list[dict[str, object]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not lines or lines[-1]["event"] != event:
            line = await process.stderr.readline()
            assert line, lines
            lines.append(json.loads(line))
    return lines


def write_config(tmp_path: Path, authority: Authority, port: int = 0) -> Path:
    config = tmp_path / "relayd.toml"
    config.write_text(
        f'relay = "relay0"\nlisten = "127.0.0.1:{port}"\n'
        f'token_keys = ["{authority.public_pem.name}"]\n'
        'certificate = "relay.pem"\nkey = "relay.key"\n'
    )
    return config


async def test_sigterm_tells_every_leg_when_to_come_back(
    tmp_path: Path,
    authority: Authority,
    certificate: tuple[Path, Path],
    join: Join,
    process_relay: ProcessRelay,
) -> None:
    async with relayd(write_config(tmp_path, authority)) as process:
        ready = (await log_lines(process, "service_ready"))[-1]
        relay = process_relay(int(str(ready["status"]).rsplit(" ", 1)[1]))
        leg = await join(relay, Side.GATEWAY)
        await leg.reaches(LegState.ALONE)
        process.send_signal(signal.SIGTERM)
        assert await leg.reason() is CloseReason.SHUTTING_DOWN
        assert leg.core.end is not None
        assert leg.core.end.wait_s >= 1
        closed = (await log_lines(process, "leg_closed"))[-1]
        assert (closed["reason"], closed["side"]) == ("SHUTTING_DOWN", "gateway")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


async def test_a_busy_port_is_said_in_one_line(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path, authority, taken.getsockname()[1])
        async with relayd(config) as process:
            _, said = await process.communicate()
            assert process.returncode == 2
    assert b"another process already uses it" in said
    assert b"Traceback" not in said


async def test_a_key_that_is_none_is_said_in_one_line(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    authority.public_pem.write_text("nothing")
    async with relayd(write_config(tmp_path, authority)) as process:
        _, said = await process.communicate()
        assert process.returncode == 2
    assert b"token_keys" in said
    assert b"copy the control plane's public token key" in said


async def test_a_stranger_fills_no_log(
    tmp_path: Path, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    tls = ssl.create_default_context(cafile=str(certificate[0]))
    async with relayd(write_config(tmp_path, authority)) as process:
        ready = (await log_lines(process, "service_ready"))[-1]
        port = int(str(ready["status"]).rsplit(" ", 1)[1])
        for _ in range(15):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            writer.write(
                b"GET /relay HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\xff\xff\xff\xff"
            )
            await reader.read()
            writer.close()
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
        assert process.returncode == 0
    assert b"Traceback" not in log
    assert len(log.splitlines()) < 10, log.decode()
