"""One of several stund processes: `python -m stund.worker SPEC`, started by `stund.workers`."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.workers import run_worker, say_ready
from stund.answering import answer
from stund.arena import Arena
from stund.workers import WorkerSpec

if TYPE_CHECKING:
    from rclib.runtime.context import Context


def main() -> int:
    """Answer until terminated, or until the process that started this one is gone."""
    spec = msgspec.json.decode(sys.argv[1], type=WorkerSpec)
    # Starts and stops are the parent's to tell.
    return run_worker("stund", spec.parent, lambda ctx: _work(spec, ctx), log_level="warning")


async def _work(spec: WorkerSpec, ctx: Context) -> None:
    arena = Arena(spec.arena, spec.workers)
    with ExitStack() as undo:
        sockets = [undo.enter_context(socket.socket(fileno=fd)) for fd in spec.sockets]
        ctx.tasks.create_task(answer(sockets, arena, spec.index, spec.rate_limit, ctx.healthy))
        say_ready()
        await ctx.stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
