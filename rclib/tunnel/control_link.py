"""The outgoing half of the control link, for gateways and clients (docs/protocol/control.md).

In the order of a link's life: dial, prove who we are, repeat what was not acknowledged, then
messages both ways until it breaks; wait with full jitter; dial again.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from rclib.runtime.backoff import FullJitter
from rclib.runtime.clock import wall_ms
from rclib.runtime.version import suite_version
from rclib.tunnel.book_resolver import BookResolver
from rclib.tunnel.uplink import Uplink, why_unreachable
from rclib.wire.delivery import Inbox, Outbox
from rclib.wire.errors import DecodeError
from rclib.wire.identity import link_statement
from rclib.wire.ids import ID_RANDOM_BYTES, MessageId, make_id
from rclib.wire.link import (
    LINK_VERSION,
    MAX_LINK_BYTES,
    PING_S,
    Ack,
    LinkChallenge,
    LinkFrame,
    LinkHello,
    LinkRefusal,
    LinkRefused,
    LinkWelcome,
    Message,
    decode_link,
    encode_link,
)

if TYPE_CHECKING:
    from rclib.runtime.logs import Logger
    from rclib.tunnel.enrolment import Enrolment, Identity
    from rclib.wire.control import Body

LINK_PATH: Final = "/api/v1/link"
DIAL_TIMEOUT_S: Final = 10
BACKOFF_BASE_S: Final = 1.0
BACKOFF_CAP_S: Final = 30.0
REFUSED_WAIT_S: Final = 60.0
"""After a refusal that a new attempt alone does not cure."""

LINK_UP = "link_up"
LINK_DOWN = "link_down"


class LinkHandler(Protocol):
    """What a daemon does with its link. Each call returns before the message is acknowledged."""

    def link_up(self, welcome: LinkWelcome) -> None: ...
    def link_down(self, detail: str) -> None: ...
    def link_body(self, body: Body, sent_ms: int) -> None: ...
    def link_acked(self, body: Body) -> None: ...


class LinkBrokenError(Exception):
    """The link ended; `wait_s` is the least time until the next attempt makes sense."""

    def __init__(self, detail: str, wait_s: float = 0) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What stays the same over all attempts."""

    enrolment: Enrolment
    identity: Identity
    uplink: Uplink


class ControlLink:
    """One end's link to its control plane. `run` keeps it up until it is cancelled."""

    def __init__(self, settings: LinkSettings, handler: LinkHandler, log: Logger) -> None:
        # Fixed after construction.
        self._settings = settings
        self._handler = handler
        self._log = log
        # Outlive a single link.
        self._outbox = Outbox()
        self._inbox = Inbox()
        # Belong to the link that is up.
        self._due: deque[Message | Ack] = deque()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_up = False

    @property
    def is_up(self) -> bool:
        return self._is_up

    def send(self, body: Body) -> None:
        """Deliver at least once, over as many links as it takes; raises OutboxFullError."""
        message = MessageId(make_id("msg", secrets.token_bytes(ID_RANDOM_BYTES)))
        self._outbox.add(message, body)
        if self._is_up:
            self._transmit(Message(message, wall_ms(), body))

    def hurry(self) -> None:
        """Somebody waits for the link: dial at once where it is down."""
        self._hurry.set()

    def discard(self, *kinds: type[Body]) -> None:
        """Take back unacknowledged messages that are no longer true."""
        self._outbox.discard(*kinds)

    async def flushed(self, within_s: float) -> None:
        """Wait until everything sent is acknowledged, or the link breaks, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._is_up and len(self._outbox):
                    self._progress.clear()
                    await self._progress.wait()

    async def run(self) -> None:
        backoff = FullJitter(BACKOFF_BASE_S, BACKOFF_CAP_S)
        while True:
            was_up = False
            try:
                await self._one_link()
            except LinkBrokenError as broken:
                was_up, self._is_up = self._is_up, False
                self._progress.set()
                self._due.clear()
                self._log.info(LINK_DOWN, detail=str(broken), was_up=was_up)
                self._handler.link_down(str(broken))
                if was_up:
                    backoff.reset()
                # The share is drawn where nothing depends on its secrecy.
                wait_s = max(broken.wait_s, backoff.next(random.random()))  # noqa: S311
                self._hurry.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._hurry.wait()
            finally:
                self._is_up = False

    async def _one_link(self) -> None:
        """Dial, and live until the link breaks; always ends with LinkBrokenError."""
        server = self._settings.enrolment.server
        uplink = self._settings.uplink
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=DIAL_TIMEOUT_S)
        connector = aiohttp.TCPConnector(resolver=BookResolver(uplink.names))
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as http,
                http.ws_connect(
                    server + LINK_PATH,
                    ssl=uplink.tls,
                    proxy=uplink.proxy,
                    # aiohttp gives an unanswered ping half its interval: 37 s, within DEAD_S.
                    heartbeat=PING_S,
                    max_msg_size=MAX_LINK_BYTES,
                    compress=0,
                ) as socket,
            ):
                async with asyncio.timeout(DIAL_TIMEOUT_S):
                    welcome = await self._introduce(socket)
                uplink.note_right(server, socket.get_extra_info("peername"))
                self._begin(welcome)
                await self._live(socket)
        except TimeoutError:
            raise LinkBrokenError(f"{server} does not answer") from None
        except DecodeError as exc:
            raise LinkBrokenError(f"{server} broke the protocol: {exc}") from None
        except (aiohttp.ClientError, OSError) as exc:
            raise LinkBrokenError(f"{server}: {why_unreachable(exc)}") from None

    async def _introduce(self, socket: aiohttp.ClientWebSocketResponse) -> LinkWelcome:
        challenge = await _receive(socket)
        if not isinstance(challenge, LinkChallenge):
            raise DecodeError("link", "no challenge")
        enrolment, identity = self._settings.enrolment, self._settings.identity
        hello = LinkHello(
            version=LINK_VERSION,
            endpoint=enrolment.endpoint,
            software=f"remoteconnect {suite_version()}",
            signature=identity.sign(
                link_statement(enrolment.endpoint, enrolment.link_host, challenge.nonce)
            ),
        )
        await _send(socket, hello)
        welcome = await _receive(socket)
        if not isinstance(welcome, LinkWelcome):
            raise DecodeError("link", "neither welcomed nor refused")
        return welcome

    def _begin(self, welcome: LinkWelcome) -> None:
        self._is_up = True
        self._log.info(LINK_UP, name=welcome.name)
        self._due.extend(self._outbox.unacked(wall_ms()))
        self._wake.set()
        self._handler.link_up(welcome)

    async def _live(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        sender = asyncio.create_task(self._send_due(socket), name="control-link-sender")
        try:
            while True:
                match await _receive(socket):
                    case Message(message, sent_ms, body):
                        if self._inbox.is_new(message):
                            self._handler.link_body(body, sent_ms)
                            self._inbox.handled(message)
                        self._transmit(Ack(message))
                    case Ack(message):
                        done = self._outbox.acknowledged(message)
                        self._progress.set()
                        if done is not None:
                            self._handler.link_acked(done)
                    case frame:
                        raise DecodeError("link", f"{type(frame).__name__} at the wrong time")
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _transmit(self, frame: Message | Ack) -> None:
        self._due.append(frame)
        self._wake.set()

    async def _send_due(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                await _send(socket, self._due.popleft())


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> LinkFrame:
    incoming = await socket.receive()
    if incoming.type is not aiohttp.WSMsgType.TEXT:
        raise LinkBrokenError("closed by the control plane or by the network")
    frame = decode_link(incoming.data)
    if isinstance(frame, LinkRefused):
        curable = frame.reason in (LinkRefusal.SHUTTING_DOWN, LinkRefusal.PROTOCOL)
        raise LinkBrokenError(
            f"refused ({frame.reason}): {frame.detail}", 0 if curable else REFUSED_WAIT_S
        )
    return frame


async def _send(socket: aiohttp.ClientWebSocketResponse, frame: LinkFrame) -> None:
    await socket.send_str(encode_link(frame).decode())
