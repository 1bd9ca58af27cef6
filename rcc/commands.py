"""What `rcc` asks of the process that carries this computer's sessions (`rcc.carrier`).

Nothing here imports more than it takes to talk to one, and no loop: handing a link over is quick.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rcc.telling import Story, complain, exit_status, say
from rclib.runtime.errors import LocalProtocolError, LocalUnavailable, PeerGone
from rclib.runtime.local_caller import LocalCall
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
    from collections.abc import Iterator

    from rcc.config import RccConfig
    from rclib.wire.client import ClientRequest

LOCAL_TIMEOUT_S: Final = 10


def connect(config: RccConfig, text: str) -> int | None:
    """Have the process that is there start the session of a link, and stay until it ends.

    None: there is no such process.
    """
    try:
        call = _reach(config)
    except LocalUnavailable:
        return None
    with call:
        return _follow(call, text)


def _follow(call: LocalCall, text: str) -> int:
    """Have the process that is there already carry the session; it ends with this command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: call.hang_up())
    story, reason = Story(), None
    try:
        for status in _exchange(call, Connect(text)):
            story.tell(status)
            reason = status.end_reason
    except _FailedError as exc:
        return complain(str(exc))
    return exit_status(reason)


def status(config: RccConfig) -> int:
    """Print the running sessions as JSON, a line for each."""
    return _ask(config, GetClientStatus())


def disconnect(config: RccConfig, session: str | None) -> int:
    """End a session; returns when everything of it is removed."""
    try:
        named = msgspec.convert(session, SessionId | None)
    except msgspec.ValidationError:
        return complain(f"{session!r} is no session; `rcc status` names them")
    return _ask(config, Disconnect(named))


def _ask(config: RccConfig, request: ClientRequest) -> int:
    try:
        with _reach(config) as call:
            for status in _exchange(call, request):
                say(encode(status).decode())
    except (LocalUnavailable, _FailedError) as exc:
        return complain(str(exc))
    return 0


def _reach(config: RccConfig) -> LocalCall:
    return LocalCall(
        Path(config.socket), LOCAL_TIMEOUT_S, program="rcc", hint="no session is running"
    )


def _exchange(call: LocalCall, request: ClientRequest) -> Iterator[ClientStatus]:
    """Yield the statuses a request is answered with; raises _FailedError."""
    try:
        for line in call.ask(encode(request)):
            match decode_client_reply(line):
                case ClientStatus() as status:
                    yield status
                case ClientDone():
                    return
                case ClientFailed(detail):
                    raise _FailedError(detail)
        raise PeerGone("the connection is closed")
    except (PeerGone, LocalProtocolError, DecodeError) as exc:
        raise _FailedError(f"the process that carries the sessions is gone: {exc}") from None


class _FailedError(Exception):
    """What the process that carries the sessions says, or that it says nothing any more."""
