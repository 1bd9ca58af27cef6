"""Control links: one WebSocket per endpoint (docs/protocol/control.md).

challenge → hello within HELLO_S → welcome, then messages and acknowledgements. A peer that
breaks the protocol is told so once and loses its link.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import WSMsgType, web

from controld import store_endpoints
from controld.audit_text import visible
from controld.coordinator import LinkProtocolError
from controld.errors import ForbiddenError, TooManyError
from controld.link_hub import RefusedError
from controld.records import Actor, Entry
from controld.store import StoreUnavailableError
from controld.store_fleet import SupersededError
from rclib.runtime.clock import boottime
from rclib.runtime.logs import RateGate, RateLimitedLogger
from rclib.wire.audit import AuditAction
from rclib.wire.delivery import MAX_UNACKED
from rclib.wire.errors import DecodeError
from rclib.wire.identity import is_signed_by, link_statement
from rclib.wire.ids import Nonce
from rclib.wire.link import (
    DEAD_S,
    LINK_VERSION,
    MAX_LINK_BYTES,
    PING_S,
    Ack,
    LinkChallenge,
    LinkHello,
    LinkRefusal,
    LinkRefused,
    Message,
    decode_link,
    encode_link,
)

if TYPE_CHECKING:
    from controld.link_hub import Peer
    from controld.records import LinkIdentity
    from controld.services import Services
    from rclib.wire.link import LinkFrame

HELLO_S: Final = 10
WRITE_S: Final = 10
CLOSE_S: Final = 2
MAX_QUEUED: Final = 2 * MAX_UNACKED
MAX_STRANGERS: Final = 200
"""Links that have not said who they are."""

LINK_OPENED = "link_opened"
LINK_CLOSED = "link_closed"
LINK_REFUSED = "link_refused"
LINK_FAILED = "link_failed"


class LinkServer:
    """Accepts links and feeds their messages to the coordinator."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._log = RateLimitedLogger(services.log)
        self._alarms = RateGate(60)
        self._strangers = 0

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one link to its end."""
        if "Origin" in request.headers:
            raise ForbiddenError("origin_refused", "control links are not for browsers")
        if self._strangers >= MAX_STRANGERS:
            raise TooManyError("too_many_links", "too many links are being opened; try again")
        socket = web.WebSocketResponse(max_msg_size=MAX_LINK_BYTES, compress=False, timeout=CLOSE_S)
        await socket.prepare(request)
        link = _OpenLink(request, socket)
        writer = asyncio.get_running_loop().create_task(link.write())
        try:
            await self._live(link)
        except RefusedError as exc:
            self._services.metrics.links_refused.labels(exc.reason.value).inc()
            self._log.info(
                LINK_REFUSED,
                once_per=(link.source, exc.reason),
                source=link.source,
                reason=exc.reason,
                detail=exc.detail,
            )
            link.refuse(exc.reason, exc.detail)
        except StoreUnavailableError as exc:
            # Nothing was acknowledged, so it comes again on the next link.
            self._log.error(LINK_FAILED, once_per="store", reason=exc)
            detail = "the control plane cannot store anything at the moment; try again"
            link.refuse(LinkRefusal.SHUTTING_DOWN, detail)
        finally:
            link.finish()
            await writer
        return socket

    async def _live(self, link: _OpenLink) -> None:
        self._strangers += 1
        try:
            async with asyncio.timeout(HELLO_S):
                identity = await self._identify(link)
        except TimeoutError:
            detail = f"no hello within {HELLO_S} s"
            raise RefusedError(LinkRefusal.PROTOCOL, detail) from None
        finally:
            self._strangers -= 1
        if identity is None:
            return
        identity, peer = await self._services.fleet.attach(identity, link)
        kind = "client" if identity.user is not None else "gateway"
        gauge = self._services.metrics.links.labels(kind)
        gauge.inc()
        try:
            await self._record(AuditAction.LINK_OPENED, identity, link)
            if identity.user is None:
                await self._services.notary.greet(identity.endpoint)
            await self._converse(link, identity, peer)
        finally:
            gauge.dec()
            if self._services.hub.detach(identity.endpoint, link):
                await self._record_closed(identity, link)

    async def _identify(self, link: _OpenLink) -> LinkIdentity | None:
        """Let the peer prove who it is; None if it goes away instead."""
        nonce = Nonce(secrets.token_bytes(32))
        link.transmit(LinkChallenge(LINK_VERSION, nonce, self._services.now_ms()))
        hello = await link.receive()
        if hello is None:
            return None
        if not isinstance(hello, LinkHello):
            raise RefusedError(LinkRefusal.PROTOCOL, "the first message is a hello")
        if hello.version != LINK_VERSION:
            detail = f"this control plane speaks version {LINK_VERSION}, not {hello.version}"
            raise RefusedError(LinkRefusal.VERSION, detail)
        identity = await self._services.store.read(
            lambda tx: store_endpoints.link_identity(tx, hello.endpoint)
        )
        if identity is None:
            raise RefusedError(LinkRefusal.UNKNOWN, f"{hello.endpoint} is not enrolled here")
        statement = link_statement(hello.endpoint, self._services.config.host, nonce)
        if not is_signed_by(identity.key, statement, hello.signature):
            detail = "the signature is not of the enrolled identity, or for another host"
            await self._alarm(identity, link, detail)
            raise RefusedError(LinkRefusal.SIGNATURE, detail)
        if identity.shut_out:
            await self._alarm(identity, link, identity.shut_out)
            raise RefusedError(LinkRefusal.UNKNOWN, identity.shut_out)
        link.software = visible(hello.software)
        return identity

    async def _converse(self, link: _OpenLink, identity: LinkIdentity, peer: Peer) -> None:
        while (frame := await link.receive()) is not None:
            match frame:
                case Ack():
                    self._services.hub.acknowledged(peer, frame.id)
                case Message():
                    await self._take(link, identity, peer, frame)
                case _:
                    detail = f"no {type(frame).__name__} is expected here"
                    raise RefusedError(LinkRefusal.PROTOCOL, detail)

    async def _take(
        self, link: _OpenLink, identity: LinkIdentity, peer: Peer, message: Message
    ) -> None:
        """Handle a message once, however often it comes; acknowledge it every time."""
        async with peer.turn:
            if peer.link is not link:
                return  # replaced meanwhile: it comes again on the new link
            if peer.inbox.is_new(message.id):
                try:
                    await self._services.coordinator.handle(identity, message.body)
                except LinkProtocolError as exc:
                    raise RefusedError(LinkRefusal.PROTOCOL, str(exc)) from None
                except SupersededError:
                    detail = "this endpoint is linked elsewhere by now"
                    raise RefusedError(LinkRefusal.REPLACED, detail) from None
                peer.inbox.handled(message.id)
                self._services.metrics.messages.labels(type(message.body).__name__).inc()
            link.transmit(Ack(message.id))

    async def _alarm(self, identity: LinkIdentity, link: _OpenLink, detail: str) -> None:
        """Record a link that claimed to be this endpoint; at will, so not each time."""
        if self._alarms.admit(identity.endpoint, boottime()) is not None:
            await self._record(AuditAction.LINK_REFUSED, identity, link, {"reason": detail})

    async def _record_closed(self, identity: LinkIdentity, link: _OpenLink) -> None:
        try:
            await self._record(AuditAction.LINK_CLOSED, identity, link)
        except StoreUnavailableError as exc:
            self._log.error(LINK_FAILED, once_per="store", reason=exc)

    async def _record(
        self,
        action: AuditAction,
        identity: LinkIdentity,
        link: _OpenLink,
        detail: dict[str, str] | None = None,
    ) -> None:
        now_ms = self._services.now_ms()
        entry = Entry(
            action=action,
            organisation=identity.organisation,
            actor=Actor(identity.endpoint, identity.name, link.source),
            subject=identity.endpoint,
            detail=detail,
        )
        await self._services.recorder.record(entry, now_ms)


class _OpenLink:
    """The socket of one link: reading in the handler's task, writing in one of its own."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.source = request.remote or ""
        self.software = ""
        """What the peer calls its version; known with its identity."""
        self._transport = request.transport
        self._socket = socket
        self._frames: asyncio.Queue[LinkFrame | None] = asyncio.Queue(MAX_QUEUED)
        self._is_finished = False

    def transmit(self, frame: LinkFrame) -> None:
        if self._is_finished:
            return
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self._abort()  # it reads nothing; what matters is in the outbox

    def refuse(self, reason: LinkRefusal, detail: str) -> None:
        self.transmit(LinkRefused(reason, detail[:500]))
        self.finish()

    def finish(self) -> None:
        """Send what is queued, then close."""
        if self._is_finished:
            return
        self._is_finished = True
        try:
            self._frames.put_nowait(None)
        except asyncio.QueueFull:
            self._abort()

    async def receive(self) -> LinkFrame | None:
        """The next frame; None when the peer is gone. Raises RefusedError for a malformed one."""
        try:
            message = await self._socket.receive(timeout=DEAD_S)
        except TimeoutError:
            return None
        if message.type is WSMsgType.TEXT:
            try:
                return decode_link(message.data)
            except DecodeError as exc:
                raise RefusedError(LinkRefusal.PROTOCOL, str(exc)) from None
        if message.type is WSMsgType.BINARY:
            raise RefusedError(LinkRefusal.PROTOCOL, "frames are text messages")
        return None

    async def write(self) -> None:
        """Send frames until told to finish; ping when there is nothing to say."""
        try:
            while (frame := await self._next()) is not None:
                async with asyncio.timeout(WRITE_S):
                    await self._socket.send_str(encode_link(frame).decode())
            await self._socket.close()
        except (TimeoutError, ConnectionError, RuntimeError):
            # aiohttp raises RuntimeError where the socket closed between two statements.
            self._abort()

    async def _next(self) -> LinkFrame | None:
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    return await self._frames.get()
            except TimeoutError:
                async with asyncio.timeout(WRITE_S):
                    await self._socket.ping()

    def _abort(self) -> None:
        self._is_finished = True
        if self._transport is not None:
            self._transport.abort()
