"""One of several relays: `python -m relayd.worker SPEC`, started by `relayd.workers`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rclib.runtime.config import parse_config
from rclib.runtime.metrics import exposition
from rclib.runtime.workers import run_worker, say_ready
from relayd.config import RelaydConfig
from relayd.server import RelayServer
from relayd.turn_loop import TurnLoop
from relayd.workers import WorkerSpec

if TYPE_CHECKING:
    from rclib.runtime.context import Context

REPORT_S: Final = 1.0


def main() -> int:
    """Relay until terminated, or until the process that started this one is gone."""
    spec = msgspec.json.decode(sys.argv[1], type=WorkerSpec)
    base = Path(spec.config_dir) if spec.config_dir is not None else None
    work = lambda ctx: _work(spec, ctx)  # noqa: E731 - one line is what it is
    return run_worker(
        "relayd",
        spec.parent,
        work,
        log_level="info",
        config_dir=base,
        loop_factory=TurnLoop,
    )


async def _work(spec: WorkerSpec, ctx: Context) -> None:
    ctx.log = ctx.log.bind(worker=spec.index)
    server = RelayServer(parse_config(RelaydConfig, spec.config), ctx)
    ctx.tasks.create_task(_report(ctx))
    await server.run(lambda _port: say_ready())


async def _report(ctx: Context) -> None:
    """Tell the parent all metrics whenever the relay's clock has gone on."""
    told_at: float | None = None
    while True:
        await asyncio.sleep(REPORT_S)
        if ctx.health.reported_at != told_at:
            told_at = ctx.health.reported_at
            text, _ = exposition(ctx.metrics)
            sys.stdout.buffer.write(msgspec.json.encode(text.decode()) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
