"""`stund`: run the STUN server; `stund --listen 127.0.0.1:3478` needs no configuration."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from rclib.runtime.net import parse_endpoint
from rclib.runtime.service import Service, run_service
from stund.config import DEFAULT_PATH, StundConfig
from stund.server import StunServer

if TYPE_CHECKING:
    import argparse

    from rclib.runtime.context import Context


async def run(config: StundConfig, ctx: Context) -> None:
    await ctx.serve_status(config.status)
    server = StunServer(config.listen, ctx.metrics)
    try:
        ctx.ready(f"answering on UDP {', '.join(config.listen)}")
        await ctx.stopping.wait()
    finally:
        server.close()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", action="append", metavar="ADDRESS:PORT")


def _apply_arguments(config: StundConfig, arguments: argparse.Namespace) -> StundConfig:
    for each in arguments.listen or ():
        parse_endpoint(each)
    listen = tuple(arguments.listen or config.listen)
    return msgspec.structs.replace(config, listen=listen)


def main() -> int:
    return run_service(
        Service(
            "stund",
            __doc__ or "",
            StundConfig,
            run,
            DEFAULT_PATH,
            _add_arguments,
            _apply_arguments,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
