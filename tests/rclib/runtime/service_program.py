"""A daemon in miniature that test_service and test_supervisor run as a process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from rclib.runtime import supervisor
from rclib.runtime.config import Config
from rclib.runtime.errors import bind_error
from rclib.runtime.http_status import StatusConfig
from rclib.runtime.secret import SecretStr
from rclib.runtime.service import Context, Service, run_service

if TYPE_CHECKING:
    import argparse

supervisor.HARD_EXIT_GRACE_S = float(os.environ.get("MINI_GRACE_S", "30"))  # type: ignore[misc]


class MiniConfig(Config, frozen=True, kw_only=True):
    behaviour: str = "serve"
    port: int = 0
    password: SecretStr | None = None
    status: StatusConfig = StatusConfig()


async def serve(_config: MiniConfig, ctx: Context) -> None:
    ctx.ready("serving")
    await ctx.stopping.wait()
    ctx.log.info("shutdown_done")


async def leave(_config: MiniConfig, ctx: Context) -> None:
    ctx.tasks.create_task(asyncio.Event().wait())


async def bind(config: MiniConfig, _ctx: Context) -> None:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", config.port))
        except OSError as exc:
            raise bind_error(exc, f"TCP 127.0.0.1:{config.port}") from exc


async def crash(_config: MiniConfig, ctx: Context) -> None:
    async def faulty() -> NoReturn:
        raise RuntimeError("task broke")

    ctx.tasks.create_task(faulty())
    try:
        await asyncio.Event().wait()
    finally:
        ctx.log.info("shutdown_done")


async def crash_and_linger(_config: MiniConfig, ctx: Context) -> None:
    async def faulty() -> NoReturn:
        raise RuntimeError("task broke")

    ctx.tasks.create_task(faulty())
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.Event().wait()


async def linger(_config: MiniConfig, ctx: Context) -> None:
    ctx.ready("lingering")
    await asyncio.Event().wait()


async def clean_up_slowly(_config: MiniConfig, ctx: Context) -> None:
    async def swallow_cancellation() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    ctx.cleanup.push_async_callback(swallow_cancellation)
    ctx.ready("slow")
    await ctx.stopping.wait()


async def ignore_cancellation(_config: MiniConfig, ctx: Context) -> None:
    ctx.ready("deaf")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ctx.log.info("cancellation_ignored")


async def block_thread(_config: MiniConfig, ctx: Context) -> None:
    reader, _writer = os.pipe()
    asyncio.get_running_loop().run_in_executor(None, os.read, reader, 1)
    ctx.ready("blocked")
    await ctx.stopping.wait()


async def leave_thread(_config: MiniConfig, _ctx: Context) -> None:
    reader, _writer = os.pipe()
    asyncio.get_running_loop().run_in_executor(None, os.read, reader, 1)


async def fail_callback(_config: MiniConfig, ctx: Context) -> None:
    def faulty() -> None:
        raise RuntimeError("callback broke")

    for _ in range(50):
        asyncio.get_running_loop().call_soon(faulty)
    asyncio.get_running_loop().call_later(0, ctx.ready, "still here")
    await ctx.stopping.wait()


async def show_status(config: MiniConfig, ctx: Context) -> None:
    endpoint = await ctx.serve_status(config.status)
    ctx.ready(f"status on {endpoint}")
    await ctx.stopping.wait()


BEHAVIOURS = {
    run.__name__: run
    for run in (
        serve,
        leave,
        bind,
        crash,
        crash_and_linger,
        linger,
        clean_up_slowly,
        ignore_cancellation,
        block_thread,
        leave_thread,
        fail_callback,
        show_status,
    )
}


async def run(config: MiniConfig, ctx: Context) -> None:
    await BEHAVIOURS[config.behaviour](config, ctx)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--behaviour")


def apply_arguments(config: MiniConfig, arguments: argparse.Namespace) -> MiniConfig:
    if arguments.behaviour is None:
        return config
    if arguments.behaviour not in BEHAVIOURS:
        raise ValueError(f"there is no behaviour {arguments.behaviour!r}")
    return msgspec.structs.replace(config, behaviour=arguments.behaviour)


if __name__ == "__main__":
    default = os.environ.get("MINI_CONFIG")
    sys.exit(
        run_service(
            Service(
                name="mini",
                description="A daemon in miniature",
                config_type=MiniConfig,
                run=run,
                default_config_path=Path(default) if default else None,
                add_arguments=add_arguments,
                apply_arguments=apply_arguments,
                shutdown_deadline_s=0.5,
            )
        )
    )
