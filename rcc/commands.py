"""What each `rcc` command does; `rcc.__main__` reads the arguments.

Quick where a process that carries sessions is there already: nothing here imports more than it
takes to talk to one.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rcc.telling import Story, complain, exit_status, say
from rclib.runtime.local import (
    Connection,
    LocalProtocolError,
    LocalUnavailable,
    PeerGone,
    connect_local,
)
from rclib.wire.client import (
    ClientDone,
    ClientFailed,
    ClientStatus,
    Connect,
    Disconnect,
    GetClientStatus,
    decode_client_reply,
    encode,
)
from rclib.wire.errors import DecodeError
from rclib.wire.ids import SessionId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rcc.config import RccConfig
    from rclib.wire.client import ClientRequest

LOCAL_TIMEOUT_S: Final = 10


async def enroll(config: RccConfig, server: str, code: str) -> int:
    """Make this computer known to a control plane."""
    from rcc import carrier  # noqa: PLC0415 - see the module's docstring

    return await carrier.enroll(config, server, code)


async def connect(config: RccConfig, text: str) -> int:
    """Start the session of a link and stay until it ends."""
    try:
        connection = await _reach(config)
    except LocalUnavailable:
        from rcc import carrier  # noqa: PLC0415 - see the module's docstring

        return await carrier.carry(config, text)
    return await _follow(connection, text)


async def agent(config: RccConfig) -> int:
    """Stay, so that later sessions start at once."""
    from rcc import carrier  # noqa: PLC0415 - see the module's docstring

    return await carrier.stay(config)


async def _follow(connection: Connection, text: str) -> int:
    """Have the process that is there already carry the session; it ends with this command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, connection.abort)
    story, reason = Story(), None
    try:
        async for status in _exchange(connection, Connect(text)):
            story.tell(status)
            reason = status.end_reason
    except _FailedError as exc:
        return complain(str(exc))
    return exit_status(reason)


async def status(config: RccConfig) -> int:
    """Print the running sessions as JSON, a line for each."""
    return await _ask(config, GetClientStatus())


async def disconnect(config: RccConfig, session: str | None) -> int:
    """End a session; returns when everything of it is removed."""
    try:
        named = msgspec.convert(session, SessionId | None)
    except msgspec.ValidationError:
        return complain(f"{session!r} is no session; `rcc status` names them")
    return await _ask(config, Disconnect(named))


async def _ask(config: RccConfig, request: ClientRequest) -> int:
    try:
        async for status in _exchange(await _reach(config), request):
            say(encode(status).decode())
    except (LocalUnavailable, _FailedError) as exc:
        return complain(str(exc))
    return 0


async def _reach(config: RccConfig) -> Connection:
    return await connect_local(
        Path(config.socket), LOCAL_TIMEOUT_S, program="rcc", hint="no session is running"
    )


async def _exchange(connection: Connection, request: ClientRequest) -> AsyncIterator[ClientStatus]:
    """Yield the statuses a request is answered with; raises _FailedError."""
    try:
        await connection.send(encode(request))
        while True:
            match decode_client_reply(await connection.receive() or b""):
                case ClientStatus() as status:
                    yield status
                case ClientDone():
                    return
                case ClientFailed(detail):
                    raise _FailedError(detail)
    except (PeerGone, LocalProtocolError, DecodeError) as exc:
        raise _FailedError(f"the process that carries the sessions is gone: {exc}") from None
    finally:
        await connection.close()


class _FailedError(Exception):
    """What the process that carries the sessions says, or that it says nothing any more."""
