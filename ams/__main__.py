"""`ams`: serve the gateway's local page; `ams reset-password` for who stands at the gateway."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ams.config import DEFAULT_PATH, AmsConfig
from ams.passwords import Door
from ams.web import Page
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError, bind_error
from rclib.runtime.net import parse_endpoint
from rclib.runtime.service import Service, run_service

if TYPE_CHECKING:
    from rclib.runtime.context import Context


async def run(config: AmsConfig, ctx: Context) -> None:
    endpoint = parse_endpoint(config.listen)
    await ctx.serve_status(config.status)
    runner = web.AppRunner(Page(config, ctx.log).application(), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, str(endpoint.host), endpoint.port).start()
        except OSError as exc:
            raise bind_error(exc, f"TCP {endpoint}") from None
        ctx.ready(f"page on http://{endpoint}/")
        await ctx.stopping.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    if sys.argv[1:2] == ["reset-password"]:
        return _reset_password(sys.argv[2:])
    return run_service(Service("ams", __doc__ or "", AmsConfig, run, DEFAULT_PATH))


def _reset_password(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ams reset-password")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH)
    try:
        config = load_config(AmsConfig, parser.parse_args(argv).config)
        Door(Path(config.state_dir)).forget_password()
    except (OperatorError, OSError) as exc:
        sys.stderr.write(f"ams: {exc}\n")
        return 2
    sys.stdout.write("the password is gone; the next visit to the page sets a new one\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
