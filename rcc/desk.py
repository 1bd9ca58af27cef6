"""All sessions of one technician on this computer: a client for each, one control link for all.

The control plane holds one link for a computer, so the first `rcc connect` takes the links of the
later ones over its local socket; `rcc agent` is there for them before the first. A session belongs
to the command that asked for it: it ends when that command does.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rcc.client import GOODBYE_S, Client, load_path
from rcc.deep_link import parse_deep_link
from rclib.runtime.errors import LocalProtocolError, PeerGone
from rclib.tunnel.control_link import ControlLink, LinkSettings
from rclib.tunnel.enrolment import normalise_server
from rclib.tunnel.gate_client import GateUnavailable
from rclib.tunnel.pins import Pins
from rclib.wire.client import (
    ClientDone,
    ClientFailed,
    Connect,
    Disconnect,
    GetClientStatus,
    decode_client_request,
    encode,
)
from rclib.wire.control import PathSignal
from rclib.wire.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rcc.config import RccConfig
    from rclib.runtime.local import Connection
    from rclib.runtime.logs import Logger
    from rclib.tunnel.enrolment import Enrolment, Identity
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import Body
    from rclib.wire.ids import SessionId
    from rclib.wire.link import LinkWelcome

MESSAGE_IGNORED: Final = "message_ignored"


class NotTaken(Exception):  # noqa: N818 -- a refusal, said to a person
    """Why a link cannot be followed here."""


class Desk:
    """Opens sessions, tells about them, ends them."""

    def __init__(
        self,
        config: RccConfig,
        *,
        identity: Identity,
        enrolment: Enrolment,
        uplink: Uplink,
        log: Logger,
    ) -> None:
        # Fixed after construction.
        self._config = config
        self._identity = identity
        self._enrolment = enrolment
        self._pins = Pins(Path(config.state_dir) / "pins.json")
        self._uplink = uplink
        self._log = log
        self._link = ControlLink(LinkSettings(enrolment, identity, uplink), self, log)
        # Of the open sessions.
        self.clients: dict[SessionId, Client] = {}
        self._errands = 0
        self._idle = asyncio.Event()

    async def run(self, first: Client) -> None:
        """Carry the first session, and all that join it, to their ends.

        Raises GateUnavailable if the privileged half is not there for the first one.
        """
        async with self._linked():
            await self.carry(first)

    async def stay(self, leaving: asyncio.Event) -> None:
        """Carry whatever comes until it is time to leave; then end all sessions."""
        async with self._linked():
            await leaving.wait()
            self.disconnect_all()

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[None]:
        """Keep the control link; leave when all answers are out and all words delivered."""
        link = asyncio.create_task(self._link.run(), name="control-link")
        loaded = asyncio.create_task(asyncio.to_thread(load_path))
        try:
            yield
        finally:
            while self._errands:
                self._idle.clear()
                await self._idle.wait()
            await self._link.flushed(GOODBYE_S)
            link.cancel()
            await asyncio.gather(link, loaded, return_exceptions=True)

    def take(self, text: str) -> Client:
        """Make a client for a link; raises NotTaken."""
        try:
            link = parse_deep_link(text)
        except DecodeError as exc:
            raise NotTaken(
                f"this is no session link: {exc}; press Start in the portal again"
            ) from None
        if self._enrolment.server != normalise_server(link.server):
            raise NotTaken(
                f"the link is for {link.server}, but this computer is enrolled at "
                f"{self._enrolment.server}"
            )
        if link.session in self.clients:
            raise NotTaken("this session runs here already; see `rcc status`")
        return Client(
            self._config,
            link,
            control=self._link,
            identity=self._identity,
            pins=self._pins,
            uplink=self._uplink,
            log=self._log.bind(session=link.session),
        )

    async def carry(self, client: Client) -> None:
        """Run one session from its link to its end; raises GateUnavailable."""
        self._link.hurry()
        self.clients[client.core.session] = client
        try:
            await client.run()
        finally:
            del self.clients[client.core.session]

    def disconnect_all(self) -> None:
        for client in tuple(self.clients.values()):
            client.disconnect()

    # Events of the control link.

    def link_up(self, welcome: LinkWelcome) -> None:
        self._link.discard(PathSignal)  # of another time
        for client in tuple(self.clients.values()):
            client.link_up(welcome)

    def link_down(self, detail: str) -> None:
        for client in tuple(self.clients.values()):
            client.link_down(detail)

    def link_acked(self, body: Body) -> None:
        pass

    def link_body(self, body: Body, sent_ms: int) -> None:
        session: SessionId | None = getattr(body, "session", None)
        client = self.clients.get(session) if session is not None else None
        if client is not None:
            client.link_body(body, sent_ms)
        else:
            self._log.info(MESSAGE_IGNORED, kind=type(body).__name__)

    # The local API.

    async def serve(self, connection: Connection) -> None:
        try:
            while (line := await connection.receive()) is not None:
                with self._errand():
                    await self._answer(decode_client_request(line), connection)
        except (DecodeError, LocalProtocolError, PeerGone):
            return  # the caller on this computer is told by the closed connection

    async def _answer(
        self, request: GetClientStatus | Connect | Disconnect, connection: Connection
    ) -> None:
        try:
            match request:
                case GetClientStatus():
                    for client in tuple(self.clients.values()):
                        await connection.send(encode(client.status()))
                case Disconnect(session):
                    client = self._named(session)
                    client.disconnect()
                    await client.removed.wait()
                    await connection.send(encode(client.status()))
                case Connect(link):
                    await self._host(self.take(link), connection)
        except NotTaken as exc:
            await connection.send(encode(ClientFailed(str(exc))))
        else:
            await connection.send(encode(ClientDone()))

    async def _host(self, client: Client, connection: Connection) -> None:
        """Tell the command that asked for it about a session, until either ends."""
        changed = asyncio.Event()
        client.changed = changed.set
        running = asyncio.create_task(self.carry(client))
        leaving = asyncio.create_task(connection.receive())
        try:
            while not running.done():
                changing = asyncio.create_task(changed.wait())
                waiting = {running, changing} | ({leaving} if not leaving.done() else set())
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                changing.cancel()
                changed.clear()
                if leaving.done():
                    client.disconnect()
                else:
                    await connection.send(encode(client.status()))
        except PeerGone:
            client.disconnect()
        finally:
            leaving.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)
        try:
            running.result()
        except GateUnavailable as exc:
            raise NotTaken(str(exc)) from None
        await connection.send(encode(client.status()))

    def _named(self, session: SessionId | None) -> Client:
        if session is None and len(self.clients) == 1:
            return next(iter(self.clients.values()))
        if session is None:
            raise NotTaken(
                "several sessions run; say which one: rcc disconnect SESSION, of "
                + ", ".join(self.clients)
            )
        if session not in self.clients:
            raise NotTaken(f"no session {session} runs here; see `rcc status`")
        return self.clients[session]

    @contextmanager
    def _errand(self) -> Iterator[None]:
        """Keep the process until an answer is out."""
        self._errands += 1
        try:
            yield
        finally:
            self._errands -= 1
            self._idle.set()
