"""What each `rcc` command does; `rcc.__main__` reads the arguments."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rcc.client import Client
from rcc.deep_link import parse_deep_link
from rclib.runtime.local import (
    Connection,
    LocalProtocolError,
    LocalUnavailable,
    PeerGone,
    connect_local,
    serve_local,
)
from rclib.runtime.logs import get_logger
from rclib.runtime.tlsfiles import client_context
from rclib.tunnel.enrolment import (
    EnrolmentFailedError,
    enrol,
    load_enrolment,
    load_or_make_identity,
    normalise_server,
)
from rclib.tunnel.gate_client import GateUnavailable
from rclib.tunnel.pins import Pins
from rclib.wire.client import (
    ClientState,
    ClientStatus,
    Disconnect,
    GetClientStatus,
    decode_client_request,
    decode_client_status,
    encode,
)
from rclib.wire.errors import DecodeError
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    import ssl

    from rcc.config import RccConfig
    from rclib.wire.client import ClientRequest

LOCAL_TIMEOUT_S: Final = 10

_REGULAR_ENDS: Final = frozenset(
    (EndReason.TECHNICIAN, EndReason.TIME_OVER, EndReason.ADMINISTRATOR, EndReason.PLANT_KILLED)
)


async def enroll(config: RccConfig, server: str, code: str) -> int:
    """Make this computer known to a control plane."""
    state = Path(config.state_dir)
    identity = load_or_make_identity(state)
    try:
        record = await enrol(state, identity, server, code, _tls(config))
    except EnrolmentFailedError as exc:
        return _complain(f"not enrolled: {exc}")
    _say(f"enrolled at {record.server} as {record.name} ({record.organisation})")
    _say(f"this computer's fingerprint: {identity.fingerprint}")
    return 0


async def connect(config: RccConfig, text: str) -> int:
    """Start the session of a link and stay until it ends."""
    state = Path(config.state_dir)
    try:
        link = parse_deep_link(text)
    except DecodeError as exc:
        return _complain(f"this is no session link: {exc}; press Start in the portal again")
    enrolment = load_enrolment(state)
    if enrolment is None:
        return _complain("this computer is not enrolled; run `rcc enroll SERVER CODE` first")
    if enrolment.server != normalise_server(link.server):
        return _complain(
            f"the link is for {link.server}, but this computer is enrolled at {enrolment.server}"
        )
    client = Client(
        config,
        link,
        identity=load_or_make_identity(state),
        enrolment=enrolment,
        pins=Pins(state / "pins.json"),
        tls=_tls(config),
        log=get_logger("rcc", session=link.session),
    )
    client.changed = _Story(client).tell
    stopping, listening = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, client.disconnect)
    api = asyncio.create_task(
        serve_local(
            Path(config.socket),
            lambda connection: _serve(client, connection),
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
        # Another session runs already: one technician, one session, one status.
        api.result()
    try:
        await client.run()
    except GateUnavailable as exc:
        return _complain(str(exc))
    finally:
        stopping.set()
        await api
    return 0 if client.core.end_reason in _REGULAR_ENDS else 1


async def status(config: RccConfig) -> int:
    """Print the running session as JSON."""
    return await _ask(config, GetClientStatus())


async def disconnect(config: RccConfig) -> int:
    """End the running session; returns when everything is removed."""
    return await _ask(config, Disconnect())


async def _ask(config: RccConfig, request: ClientRequest) -> int:
    try:
        connection = await connect_local(
            Path(config.socket), LOCAL_TIMEOUT_S, program="rcc", hint="no session is running"
        )
    except LocalUnavailable as exc:
        return _complain(str(exc))
    try:
        await connection.send(encode(request))
        line = await connection.receive()
        decode_client_status(line or b"")
    except (PeerGone, LocalProtocolError, DecodeError) as exc:
        return _complain(f"the session process answered nothing usable: {exc}")
    finally:
        await connection.close()
    _say((line or b"").decode())
    return 0


async def _serve(client: Client, connection: Connection) -> None:
    try:
        while (line := await connection.receive()) is not None:
            request = decode_client_request(line)
            if isinstance(request, Disconnect):
                client.disconnect()
                await client.removed.wait()
            await connection.send(encode(client.status()))
    except (DecodeError, LocalProtocolError, PeerGone):
        return  # the caller on this computer is told by the closed connection


class _Story:
    """Tells each new state once, one line on the terminal."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: tuple[ClientState, str] | None = None

    def tell(self) -> None:
        status = self._client.status()
        if self._told != (status.state, status.detail):
            self._told = (status.state, status.detail)
            _say(_sentence(status))


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
            targets = ", ".join(f"{t.name} {t.address}" for t in status.targets)
            return f"connected by {status.path.value}; reachable: {targets}"
        case ClientState.ENDED:
            reason = status.refusal or status.end_reason
            return f"ended ({reason.value if reason else 'unknown'}){detail}"


def _tls(config: RccConfig) -> ssl.SSLContext:
    return client_context(Path(config.ca_file) if config.ca_file else None)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> int:
    sys.stderr.write(f"rcc: {text}\n")
    return 1
