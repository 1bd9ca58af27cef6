"""The process that carries this computer's sessions, and enrolment: what needs the whole suite.

A command that finds such a process hands its link over and needs none of this (`rcc.commands`).
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rcc.desk import Desk, NotTaken
from rcc.telling import Story, complain, exit_status, say
from rclib.runtime.local import serve_local
from rclib.runtime.logs import configure_logging, get_logger
from rclib.runtime.loop import new_event_loop
from rclib.tunnel.enrolment import (
    EnrolmentFailedError,
    enrol,
    load_enrolment,
    load_or_make_identity,
)
from rclib.tunnel.gate_client import GateUnavailable
from rclib.tunnel.uplink import open_uplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from rcc.config import RccConfig
    from rclib.tunnel.uplink import Uplink


def run(work: Coroutine[None, None, int], log_level: str) -> int:
    """Do one of the following; returns the exit status."""
    configure_logging(log_level)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


async def enroll(config: RccConfig, server: str, code: str) -> int:
    """Make this computer known to a control plane."""
    state = Path(config.state_dir)
    identity = load_or_make_identity(state)
    try:
        record = await enrol(state, identity, server, code, _uplink(config))
    except EnrolmentFailedError as exc:
        return complain(f"not enrolled: {exc}")
    say(f"enrolled at {record.server} as {record.name} ({record.organisation})")
    say(f"this computer's fingerprint: {identity.fingerprint}")
    return 0


async def carry(config: RccConfig, text: str) -> int:
    """Carry the session of a link, and those of later commands, until the last has ended."""
    desk = _desk(config)
    if desk is None:
        return 1
    try:
        client = desk.take(text)
    except NotTaken as exc:
        return complain(str(exc))
    story = Story()
    client.changed = lambda: story.tell(client.status())
    _on_signal(desk.disconnect_all)
    try:
        async with _served(config, desk):
            await desk.run(client)
    except GateUnavailable as exc:
        return complain(str(exc))
    return exit_status(client.core.end_reason)


async def stay(config: RccConfig) -> int:
    """Be there for the links of later commands, linked to the control plane; until a signal."""
    desk = _desk(config)
    if desk is None:
        return 1
    leaving = asyncio.Event()
    _on_signal(leaving.set)
    async with _served(config, desk):
        await desk.stay(leaving)
    return 0


def _desk(config: RccConfig) -> Desk | None:
    state = Path(config.state_dir)
    enrolment = load_enrolment(state)
    if enrolment is None:
        complain("this computer is not enrolled; run `rcc enroll SERVER CODE` first")
        return None
    return Desk(
        config,
        identity=load_or_make_identity(state),
        enrolment=enrolment,
        uplink=_uplink(config),
        log=get_logger("rcc"),
    )


@asynccontextmanager
async def _served(config: RccConfig, desk: Desk) -> AsyncIterator[None]:
    """Answer the local API meanwhile; raises if the place is taken or cannot be written."""
    stopping, listening = asyncio.Event(), asyncio.Event()
    api = asyncio.create_task(
        serve_local(
            Path(config.socket),
            desk.serve,
            allowed_uids=None,
            mode=0o600,
            stopping=stopping,
            listening=listening,
            program="rcc",
        )
    )
    ready = asyncio.create_task(listening.wait())
    await asyncio.wait({api, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if api.done():
        api.result()  # raises: another process was faster, or the place cannot be written
    try:
        yield
    finally:
        stopping.set()
        await api


def _on_signal(leave: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leave)


def _uplink(config: RccConfig) -> Uplink:
    return open_uplink(config.ca_file, config.proxy, config.proxy_login)
