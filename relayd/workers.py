"""Several relays in one: each worker has a port, and all legs of the sessions that name it.

Nothing passes between workers: both ends of a session are sent to the same one by the control
plane. A worker reports its metrics to the parent, which shows their sum; the report is also its
sign of life.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.clock import boottime
from rclib.runtime.config import render_config
from rclib.runtime.workers import Workers, spawn_worker
from relayd.worker_metrics import WorkerMetrics

if TYPE_CHECKING:
    import asyncio
    from asyncio.subprocess import Process

    from rclib.runtime.context import Context
    from relayd.config import RelaydConfig


class WorkerSpec(msgspec.Struct, frozen=True):
    """What a worker is told on its command line; nothing in it is secret."""

    index: int
    parent: int
    config: str
    """TOML."""
    config_dir: str | None


async def serve_with_workers(config: RelaydConfig, ctx: Context) -> None:
    """Serve until asked to stop; raises StartError."""
    workers = RelayWorkers(config, ctx)
    await ctx.serve_status(config.status)
    await workers.start(ctx)
    ctx.ready(f"relay {config.relay}: {config.workers} workers from {config.listen} on")
    await ctx.stopping.wait()
    await workers.stop()


class RelayWorkers(Workers):
    """Keeps `config.workers` relays running."""

    def __init__(self, config: RelaydConfig, ctx: Context) -> None:
        super().__init__(config.workers)
        self._config = config
        self._ctx = ctx
        self._metrics = WorkerMetrics(ctx.metrics)
        self._heard_at: dict[int, float] = {}

    async def _spawn(self, index: int) -> Process:
        base = self._ctx.config_dir
        spec = WorkerSpec(
            index=index,
            parent=os.getpid(),
            config=render_config(self._config.of_worker(index)),
            config_dir=str(base) if base is not None else None,
        )
        return await spawn_worker("relayd.worker", spec)

    def _seen(self, index: int, now: float) -> None:
        self._heard_at[index] = now

    def _seen_at(self, index: int) -> float:
        return self._heard_at[index]

    def _started(self, index: int, process: Process, *, is_restart: bool) -> None:
        self._metrics.restarts += is_restart
        if process.stdout is not None:
            self._ctx.tasks.create_task(self._listen(index, process.stdout))

    async def _listen(self, index: int, reports: asyncio.StreamReader) -> None:
        while line := await reports.readline():
            self._seen(index, boottime())
            self._metrics.reported(index, msgspec.json.decode(line, type=str))
        self._metrics.ended(index)
