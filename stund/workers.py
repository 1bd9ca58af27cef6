"""Several processes with the same work: started, watched, and started anew when one ends.

Each has sockets of its own on the same addresses (SO_REUSEPORT), so when one ends the kernel
gives its clients to the others at once. They share nothing but the arena.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from rclib.runtime.clock import boottime
from stund.answering import TICK_S
from stund.config import RateLimit
from stund.sockets import open_sockets, size_buffers

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from rclib.runtime.context import Context
    from rclib.runtime.net import Endpoint
    from stund.arena import Arena
    from stund.config import StundConfig
    from stund.metrics import ArenaCollector

READY_LINE: Final = b"ready\n"
START_DEADLINE_S: Final = 30.0
HUNG_AFTER_S: Final = 10.0
STOP_DEADLINE_S: Final = 3.0
SETTLED_AFTER_S: Final = 60.0
FIRST_BACKOFF_S: Final = 0.1
LAST_BACKOFF_S: Final = 5.0
MAX_EARLY_ENDS: Final = 8

WORKER_ENDED: Final = "worker_ended"
WORKER_HUNG: Final = "worker_hung"


class WorkerSpec(msgspec.Struct, frozen=True):
    """What a worker is told on its command line; nothing in it is secret."""

    index: int
    workers: int
    sockets: tuple[int, ...]
    arena: int
    rate_limit: RateLimit
    parent: int


class WorkerFailed(RuntimeError):  # noqa: N818 - states what the worker did
    """A worker keeps ending soon after its start: to go on would only burn CPU."""


class Workers:
    """Keeps `config.workers` processes answering on the endpoints."""

    def __init__(
        self,
        config: StundConfig,
        endpoints: Sequence[Endpoint],
        handed_over: Sequence[socket.socket],
        arena: Arena,
        metrics: ArenaCollector,
    ) -> None:
        self._config = config
        self._endpoints = endpoints
        self._handed_over = handed_over
        self._arena = arena
        self._metrics = metrics
        self._running: dict[int, Process] = {}

    async def start(self, ctx: Context) -> None:
        """Start all of them; they answer when this returns. `ctx` owns what follows.

        Raises WorkerFailed, StartError.
        """
        ctx.cleanup.push_async_callback(self._stop)
        processes = [await self._start(index) for index in range(self._config.workers)]
        for index, process in enumerate(processes):
            if process.returncode is not None:
                raise WorkerFailed(f"worker {index} ended at its start; what it wrote says why")
            ctx.tasks.create_task(self._keep(index, process, ctx))
        ctx.tasks.create_task(self._watch(ctx))

    async def _start(self, index: int) -> Process:
        with ExitStack() as undo:
            sockets = self._handed_over
            if not sockets:
                sockets = open_sockets(self._endpoints, shared=True)
                for each in sockets:
                    undo.enter_context(each)
                    size_buffers(each, self._config.socket_buffer_bytes)
            process = await self._spawn(index, [each.fileno() for each in sockets])
        self._running[index] = process
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if line != READY_LINE:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._arena.see(index, boottime())
        return process

    async def _spawn(self, index: int, sockets: list[int]) -> Process:
        spec = WorkerSpec(
            index=index,
            workers=self._config.workers,
            sockets=tuple(sockets),
            arena=self._arena.fd,
            rate_limit=self._config.rate_limit,
            parent=os.getpid(),
        )
        # The service manager hears of this process only. One numpy thread, as there are no
        # matrices; -P, so that nothing is imported from wherever stund was started.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS")
        } | {"OPENBLAS_NUM_THREADS": "1"}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "stund.worker",
            msgspec.json.encode(spec).decode(),
            stdin=DEVNULL,
            stdout=PIPE,
            pass_fds=[*sockets, self._arena.fd],
            env=environment,
            start_new_session=True,  # ^C is for the parent, which ends them in order
        )

    async def _keep(self, index: int, process: Process, ctx: Context) -> None:
        """Start one worker anew whenever it ends, ever later if it ends early."""
        early_ends = 0
        while True:
            started = boottime()
            status = await process.wait()
            if ctx.stopping.is_set():
                return
            lived_s = boottime() - started
            early_ends = early_ends + 1 if lived_s < SETTLED_AFTER_S else 0
            ctx.log.error(WORKER_ENDED, worker=index, status=status, lived_s=round(lived_s, 1))
            if early_ends > MAX_EARLY_ENDS:
                raise WorkerFailed(f"worker {index} ended {early_ends} times soon after its start")
            backoff_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**early_ends)
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await ctx.stopping.wait()
                return
            self._metrics.worker_restarts += 1
            process = await self._start(index)

    async def _watch(self, ctx: Context) -> None:
        """End workers whose loop stands still; report health while none does."""
        while True:
            await asyncio.sleep(TICK_S)
            hung = [
                index
                for index in self._running
                if boottime() - self._arena.seen_at(index) > HUNG_AFTER_S
            ]
            for index in hung:
                ctx.log.error(WORKER_HUNG, worker=index, after_s=HUNG_AFTER_S)
                self._arena.see(index, boottime())  # the next one gets its time, too
                with suppress(ProcessLookupError):
                    self._running[index].kill()
            if not hung:
                ctx.healthy()

    async def _stop(self) -> None:
        """End all workers; they hold no state, so those that linger are cut off."""
        running = list(self._running.values())
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE_S):
                for process in running:
                    await process.wait()
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
