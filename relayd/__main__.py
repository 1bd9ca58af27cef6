"""`relayd`: run the WebSocket relay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rclib.runtime.service import Service, run_service
from relayd.config import DEFAULT_PATH, RelaydConfig
from relayd.server import RelayServer
from relayd.turn_loop import TurnLoop
from relayd.workers import serve_with_workers

if TYPE_CHECKING:
    from rclib.runtime.context import Context


async def run(config: RelaydConfig, ctx: Context) -> None:
    if config.workers > 1:
        await serve_with_workers(config, ctx)
        return
    server = RelayServer(config, ctx)
    await ctx.serve_status(config.status)
    await server.run(lambda port: ctx.ready(f"relay {config.relay} on port {port}"))


def main() -> int:
    relayd = Service(
        "relayd", __doc__ or "", RelaydConfig, run, DEFAULT_PATH, loop_factory=TurnLoop
    )
    return run_service(relayd)


if __name__ == "__main__":
    sys.exit(main())
