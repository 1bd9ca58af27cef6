"""LISTEN: hears at once that another controld has committed something.

A notification says only that there is news; the news are in the tables. One that is lost, because
the connection broke or a proxy does not pass them on, costs the time to the next look.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from controld.store_postgres import CONNECT_S, NEWS
from rclib.runtime.logs import RateLimitedLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.store_url import PostgresServer
    from rclib.runtime.logs import Logger

CHECK_S: Final = 5.0
"""How often a silent connection is asked whether it is one."""
RETRY_S: Final = 1.0
LISTENING_FAILED = "listening_failed"


async def listen(server: PostgresServer, heard: Callable[[], None], log: Logger) -> None:
    """Call `heard` after every notification and after every new connection, for ever."""
    limited = RateLimitedLogger(log)
    while True:
        try:
            await _listen(server, heard)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            limited.warning(LISTENING_FAILED, once_per="news", reason=str(exc) or repr(exc))
        await asyncio.sleep(RETRY_S)


async def _listen(server: PostgresServer, heard: Callable[[], None]) -> None:
    """Until the connection breaks, which raises; TimeoutError is an OSError."""
    dialect = server.url.get_dialect()()
    _, arguments = dialect.create_connect_args(server.url)
    connection = await asyncpg.connect(
        **arguments,
        timeout=CONNECT_S,
        command_timeout=CHECK_S,
        server_settings={"application_name": NEWS},
    )
    lost = asyncio.Event()

    def hear(*_: Any) -> None:  # noqa: ANN401 -- connection, process, channel and text
        heard()

    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(NEWS, hear)
        heard()  # what was said while nobody listened
        while not lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await lost.wait()
            if not lost.is_set():
                await connection.execute("SELECT 1")
        raise ConnectionResetError("PostgreSQL closed the connection that listens")
    finally:
        connection.terminate()
