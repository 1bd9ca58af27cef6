"""The whole server: shared memory, sockets and metrics, then one process or several."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import StartError
from stund.answering import answer
from stund.arena import Arena
from stund.limiter import SECRET_BYTES
from stund.metrics import ArenaCollector
from stund.sockets import endpoints_of, inherited_sockets, open_sockets, size_buffers
from stund.workers import StundWorkers

if TYPE_CHECKING:
    from rclib.runtime.context import Context
    from stund.config import StundConfig

SOCKET_OPENED: Final = "socket_opened"


async def serve(config: StundConfig, ctx: Context) -> None:
    """Answer until asked to stop; raises StartError.

    Everything is bound before readiness is announced, so whoever waited for it is answered.
    """
    arena = Arena.create(config.workers, secrets.token_bytes(SECRET_BYTES))
    metrics = ArenaCollector(arena, ctx.metrics)
    with ExitStack() as undo:
        undo.callback(os.close, arena.fd)
        sockets = inherited_sockets(os.environ, os.getpid())
        handed_over = bool(sockets)
        # Not shared, so that a second stund is told that the port is taken.
        sockets = sockets or open_sockets(config.listen, shared=False)
        if not sockets:
            raise StartError("nothing to listen on; leave out `listen` for the standard port")
        for each in sockets:
            undo.enter_context(each)
        endpoints = endpoints_of(sockets)
        for each, endpoint in zip(sockets, endpoints, strict=True):
            receive, send = size_buffers(each, config.socket_buffer_bytes)
            ctx.log.info(SOCKET_OPENED, listen=endpoint, receive_buffer=receive, send_buffer=send)
        await ctx.serve_status(config.status)

        if config.workers == 1:
            ctx.tasks.create_task(answer(sockets, arena, 0, config.rate_limit, ctx.healthy))
        else:
            workers = StundWorkers(
                config, endpoints, sockets if handed_over else [], arena, metrics
            )
            if not handed_over:
                for each in sockets:
                    each.close()  # each worker has its own, for the kernel to spread clients over
            await workers.start(ctx)
        ctx.ready(f"answering on {', '.join(f'UDP {endpoint}' for endpoint in endpoints)}")
        await ctx.stopping.wait()
