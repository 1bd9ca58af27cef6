"""One question to rcd, one answer: a connection each, so that none can be stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.runtime.local import LocalProtocolError, LocalUnavailable, PeerGone, connect_local
from rclib.wire.errors import DecodeError
from rclib.wire.local import Failed, Request, Status, decode_response, encode

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S: Final = 5.0


class RcdAwayError(Exception):
    """rcd does not answer: what it was asked may or may not have happened."""


class RcdRefusedError(Exception):
    """rcd says why it did not do it."""


async def ask(socket: Path, request: Request) -> Status:
    """Raises RcdAwayError, RcdRefusedError."""
    try:
        connection = await connect_local(
            socket, TIMEOUT_S, program="rcd", hint="systemctl start rcd"
        )
        try:
            await connection.send(encode(request))
            line = await connection.receive()
        finally:
            await connection.close()
        answer = decode_response(line or b"")
    except (LocalUnavailable, LocalProtocolError, PeerGone, DecodeError, TimeoutError) as exc:
        raise RcdAwayError(str(exc)) from None
    if isinstance(answer, Failed):
        raise RcdRefusedError(answer.detail)
    return answer
