"""stund's worker processes.

Each has sockets of its own on the same addresses (SO_REUSEPORT), so when one ends the kernel
gives its clients to the others at once. They share nothing but the arena.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.workers import Workers, spawn_worker
from stund.config import RateLimit
from stund.sockets import open_sockets, size_buffers

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Sequence

    from rclib.runtime.net import Endpoint
    from stund.arena import Arena
    from stund.config import StundConfig
    from stund.metrics import ArenaCollector


class WorkerSpec(msgspec.Struct, frozen=True):
    """What a worker is told on its command line; nothing in it is secret."""

    index: int
    workers: int
    sockets: tuple[int, ...]
    arena: int
    rate_limit: RateLimit
    parent: int


class StundWorkers(Workers):
    """Keeps `config.workers` processes answering on the endpoints."""

    def __init__(
        self,
        config: StundConfig,
        endpoints: Sequence[Endpoint],
        handed_over: Sequence[socket.socket],
        arena: Arena,
        metrics: ArenaCollector,
    ) -> None:
        super().__init__(config.workers)
        self._config = config
        self._endpoints = endpoints
        self._handed_over = handed_over
        self._arena = arena
        self._metrics = metrics

    async def _spawn(self, index: int) -> Process:
        with ExitStack() as undo:
            sockets = self._handed_over
            if not sockets:
                sockets = open_sockets(self._endpoints, shared=True)
                for each in sockets:
                    undo.enter_context(each)
                    size_buffers(each, self._config.socket_buffer_bytes)
            spec = WorkerSpec(
                index=index,
                workers=self._config.workers,
                sockets=tuple(each.fileno() for each in sockets),
                arena=self._arena.fd,
                rate_limit=self._config.rate_limit,
                parent=os.getpid(),
            )
            # One numpy thread, as there are no matrices.
            return await spawn_worker(
                "stund.worker",
                spec,
                [*spec.sockets, self._arena.fd],
                {"OPENBLAS_NUM_THREADS": "1"},
            )

    def _seen(self, index: int, now: float) -> None:
        self._arena.see(index, now)

    def _seen_at(self, index: int) -> float:
        return self._arena.seen_at(index)

    def _started(self, index: int, process: Process, *, is_restart: bool) -> None:  # noqa: ARG002
        self._metrics.worker_restarts += is_restart
