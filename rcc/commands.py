"""What each `rcc` command does; `rcc.__main__` reads the arguments."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rcc.desk import Desk, NotTaken
from rclib.runtime.local import (
    Connection,
    LocalProtocolError,
    LocalUnavailable,
    PeerGone,
    connect_local,
    serve_local,
)
from rclib.runtime.logs import get_logger
from rclib.tunnel.enrolment import (
    EnrolmentFailedError,
    enrol,
    load_enrolment,
    load_or_make_identity,
)
from rclib.tunnel.gate_client import GateUnavailable
from rclib.tunnel.uplink import open_uplink
from rclib.wire.client import (
    ClientDone,
    ClientFailed,
    ClientState,
    ClientStatus,
    Connect,
    Disconnect,
    GetClientStatus,
    decode_client_reply,
    encode,
)
from rclib.wire.errors import DecodeError
from rclib.wire.ids import SessionId
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rcc.config import RccConfig
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.client import ClientRequest, Reachable

LOCAL_TIMEOUT_S: Final = 10

_REGULAR_ENDS: Final = frozenset(
    (EndReason.TECHNICIAN, EndReason.TIME_OVER, EndReason.ADMINISTRATOR, EndReason.PLANT_KILLED)
)


async def enroll(config: RccConfig, server: str, code: str) -> int:
    """Make this computer known to a control plane."""
    state = Path(config.state_dir)
    identity = load_or_make_identity(state)
    try:
        record = await enrol(state, identity, server, code, _uplink(config))
    except EnrolmentFailedError as exc:
        return _complain(f"not enrolled: {exc}")
    _say(f"enrolled at {record.server} as {record.name} ({record.organisation})")
    _say(f"this computer's fingerprint: {identity.fingerprint}")
    return 0


async def connect(config: RccConfig, text: str) -> int:
    """Start the session of a link and stay until it ends."""
    state = Path(config.state_dir)
    enrolment = load_enrolment(state)
    if enrolment is None:
        return _complain("this computer is not enrolled; run `rcc enroll SERVER CODE` first")
    desk = Desk(
        config,
        identity=load_or_make_identity(state),
        enrolment=enrolment,
        uplink=_uplink(config),
        log=get_logger("rcc"),
    )
    try:
        connection = await _reach(config)
    except LocalUnavailable:
        return await _carry(config, desk, text)
    return await _follow(connection, text)


async def _carry(config: RccConfig, desk: Desk, text: str) -> int:
    """Be the process that carries this computer's sessions."""
    try:
        client = desk.take(text)
    except NotTaken as exc:
        return _complain(str(exc))
    story = _Story()
    client.changed = lambda: story.tell(client.status())
    stopping, listening = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, desk.disconnect_all)
    api = asyncio.create_task(
        serve_local(
            Path(config.socket),
            desk.serve,
            allowed_uids=None,
            mode=0o600,
            stopping=stopping,
            listening=listening,
            program="rcc",
        )
    )
    ready = asyncio.create_task(listening.wait())
    await asyncio.wait({api, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if api.done():
        api.result()  # raises: another process was faster, or the place cannot be written
    try:
        await desk.run(client)
    except GateUnavailable as exc:
        return _complain(str(exc))
    finally:
        stopping.set()
        await api
    return _exit_status(client.core.end_reason)


async def _follow(connection: Connection, text: str) -> int:
    """Have the process that is there already carry the session; it ends with this command."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, connection.abort)
    story, reason = _Story(), None
    try:
        async for status in _exchange(connection, Connect(text)):
            story.tell(status)
            reason = status.end_reason
    except _FailedError as exc:
        return _complain(str(exc))
    return _exit_status(reason)


async def status(config: RccConfig) -> int:
    """Print the running sessions as JSON, a line for each."""
    return await _ask(config, GetClientStatus())


async def disconnect(config: RccConfig, session: str | None) -> int:
    """End a session; returns when everything of it is removed."""
    try:
        named = msgspec.convert(session, SessionId | None)
    except msgspec.ValidationError:
        return _complain(f"{session!r} is no session; `rcc status` names them")
    return await _ask(config, Disconnect(named))


async def _ask(config: RccConfig, request: ClientRequest) -> int:
    try:
        async for status in _exchange(await _reach(config), request):
            _say(encode(status).decode())
    except (LocalUnavailable, _FailedError) as exc:
        return _complain(str(exc))
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


def _exit_status(reason: EndReason | None) -> int:
    return 0 if reason in _REGULAR_ENDS else 1


class _FailedError(Exception):
    """What the process that carries the sessions says, or that it says nothing any more."""


class _Story:
    """Tells each new state once, one line on the terminal."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, status: ClientStatus) -> None:
        sentence = _sentence(status)
        if self._told != sentence:
            self._told = sentence
            _say(sentence)


def _sentence(status: ClientStatus) -> str:
    detail = f": {status.detail}" if status.detail else ""
    match status.state:
        case ClientState.REDEEMING:
            return f"making a key for this session{detail}"
        case ClientState.WAITING_FOR_PLANT:
            return f"waiting for the plant's gateway{detail}"
        case ClientState.OPENING:
            return f"{status.gateway} has answered; opening the tunnel"
        case ClientState.CONNECTING:
            return f"tunnel {status.interface} is open; waiting for the gateway's handshake"
        case ClientState.CONNECTED:
            targets = ", ".join(dict.fromkeys(_called(target) for target in status.targets))
            return f"connected by {status.path.value}; reachable: {targets}"
        case ClientState.ENDED:
            reason = status.refusal or status.end_reason
            return f"ended ({reason.value if reason else 'unknown'}){detail}"


def _called(target: Reachable) -> str:
    if target.use == target.address:
        return f"{target.name} {target.use}"
    if not target.use:
        return f"{target.name} by no address: this computer's networks use {target.address}"
    return f"{target.name} {target.use} (for {target.address}, which is in use here)"


def _uplink(config: RccConfig) -> Uplink:
    return open_uplink(config.ca_file, config.proxy, config.proxy_login)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> int:
    sys.stderr.write(f"rcc: {text}\n")
    return 1
