"""One of several stund processes: `python -m stund.worker SPEC`, started by `stund.workers`."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.health import STALE_AFTER_S
from rclib.runtime.logs import configure_logging
from rclib.runtime.loop import new_event_loop
from rclib.runtime.supervisor import Supervisor
from stund.answering import answer
from stund.arena import Arena
from stund.libc import die_with_parent
from stund.workers import READY_LINE, STOP_DEADLINE_S, WorkerSpec

if TYPE_CHECKING:
    from rclib.runtime.context import Context


def main() -> int:
    """Answer until terminated, or until the process that started this one is gone."""
    spec = msgspec.json.decode(sys.argv[1], type=WorkerSpec)
    die_with_parent(spec.parent)
    configure_logging("warning")  # starts and stops are the parent's to tell
    supervisor = Supervisor(
        "stund",
        lambda ctx: _work(spec, ctx),
        config_dir=None,
        shutdown_deadline_s=STOP_DEADLINE_S,
        stale_after_s=STALE_AFTER_S,
    )
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(supervisor.supervise())
    finally:
        supervisor.disarm()


async def _work(spec: WorkerSpec, ctx: Context) -> None:
    arena = Arena(spec.arena, spec.workers)
    with ExitStack() as undo:
        sockets = [undo.enter_context(socket.socket(fileno=fd)) for fd in spec.sockets]
        ctx.tasks.create_task(answer(sockets, arena, spec.index, spec.rate_limit, ctx.healthy))
        sys.stdout.buffer.write(READY_LINE)
        sys.stdout.buffer.flush()
        await ctx.stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
