"""Several processes with the same work: started, watched, and started anew when one ends.

A program derives from `Workers`, which runs in the parent, and gives its worker's module a `main`
that calls `run_worker`. A worker says READY_LINE on its standard output once it serves; a sign of
life after that is the program's own affair (`_seen_at`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from rclib.runtime.clock import boottime
from rclib.runtime.errors import StartError
from rclib.runtime.health import STALE_AFTER_S
from rclib.runtime.logs import configure_logging
from rclib.runtime.loop import new_event_loop
from rclib.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rclib.runtime.context import Context

READY_LINE: Final = b"ready\n"
START_DEADLINE_S: Final = 30.0
HUNG_AFTER_S: Final = 10.0
STOP_DEADLINE_S: Final = 3.0
SETTLED_AFTER_S: Final = 60.0
FIRST_BACKOFF_S: Final = 0.1
LAST_BACKOFF_S: Final = 5.0
MAX_EARLY_ENDS: Final = 8
WATCH_S: Final = 1.0

WORKER_ENDED: Final = "worker_ended"
WORKER_HUNG: Final = "worker_hung"

_PR_SET_PDEATHSIG: Final = 1  # include/uapi/linux/prctl.h


class WorkerFailed(RuntimeError):  # noqa: N818 - states what the worker did
    """A worker keeps ending soon after its start: to go on would only burn CPU."""


class Workers(ABC):
    """Keeps `count` processes at work."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._running: dict[int, Process] = {}

    # What a program has of its own.

    @abstractmethod
    async def _spawn(self, index: int) -> Process:
        """Start one worker, by `spawn_worker`."""

    @abstractmethod
    def _seen(self, index: int, now: float) -> None:
        """Count this as the worker's last sign of life."""

    @abstractmethod
    def _seen_at(self, index: int) -> float:
        """When the worker last showed that its loop runs, on the boot clock."""

    @abstractmethod
    def _started(self, index: int, process: Process, *, is_restart: bool) -> None:
        """Look after a worker that is ready."""

    # In the order of a worker's life.

    async def start(self, ctx: Context) -> None:
        """Start all of them; they serve when this returns. `ctx` owns what follows.

        Raises StartError.
        """
        ctx.cleanup.push_async_callback(self.stop)
        processes = await asyncio.gather(*map(self._start, range(self._count)))
        for index, process in enumerate(processes):
            if process.returncode is not None:
                raise StartError(f"worker {index} ended at its start; what it wrote says why")
            ctx.tasks.create_task(self._keep(index, process, ctx))
        ctx.tasks.create_task(self._watch(ctx))

    async def _start(self, index: int, *, is_restart: bool = False) -> Process:
        process = await self._spawn(index)
        self._running[index] = process
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        self._seen(index, boottime())
        if line == READY_LINE:
            self._started(index, process, is_restart=is_restart)
            return process
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return process

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
            process = await self._start(index, is_restart=True)

    async def _watch(self, ctx: Context) -> None:
        """End workers whose loop stands still; report health while none does."""
        while True:
            await asyncio.sleep(WATCH_S)
            hung = [
                index for index in self._running if boottime() - self._seen_at(index) > HUNG_AFTER_S
            ]
            for index in hung:
                ctx.log.error(WORKER_HUNG, worker=index, after_s=HUNG_AFTER_S)
                self._seen(index, boottime())  # the next one gets its time, too
                with suppress(ProcessLookupError):
                    self._running[index].kill()
            if not hung:
                ctx.healthy()

    async def stop(self) -> None:
        """End all workers in order, and cut off those that linger; idempotent."""
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


async def spawn_worker(
    module: str,
    spec: msgspec.Struct,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start `python -m MODULE SPEC`; nothing in `spec` may be secret."""
    # The service manager hears of the parent only. -P, so that nothing is imported from wherever
    # the program was started.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS")
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", module, msgspec.json.encode(spec).decode()),
        stdin=DEVNULL,
        stdout=PIPE,
        pass_fds=pass_fds,
        env=inherited | dict(environment or {}),
        start_new_session=True,  # ^C is for the parent, which ends them in order
    )


def run_worker(
    program: str,
    parent: int,
    work: Callable[[Context], Coroutine[Any, Any, None]],
    *,
    log_level: str,
    config_dir: Path | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop,
) -> int:
    """Work until terminated, or until the process `parent` is gone; returns the exit status."""
    _die_with(parent)
    configure_logging(log_level)
    supervisor = Supervisor(
        program,
        work,
        config_dir=config_dir,
        shutdown_deadline_s=STOP_DEADLINE_S,
        stale_after_s=STALE_AFTER_S,
    )
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(supervisor.supervise())
    finally:
        supervisor.disarm()


def say_ready() -> None:
    """Tell the parent that this worker serves."""
    sys.stdout.buffer.write(READY_LINE)
    sys.stdout.buffer.flush()


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that started it ends; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, *map(ctypes.c_ulong, (signal.SIGKILL, 0, 0, 0))) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)
