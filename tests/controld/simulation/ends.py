"""The two ends of sessions: real control links over a network that breaks, plain ends behind.

A gateway here does what any gateway has to: OFF closes all, a lease ends by its own clock, what
controld wants ended ends. What it does beyond is up to chance.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.tunnel.control_link import ControlLink, LinkBrokenError, LinkSettings
from rclib.tunnel.enrolment import Enrolment, Identity
from rclib.wire.access import AccessMode
from rclib.wire.control import (
    GatewayState,
    LeaseRenewal,
    ReleasePending,
    SessionAnswer,
    SessionEnd,
    SessionEnded,
    SessionGrant,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
    SessionRelease,
    TicketRedeem,
)
from rclib.wire.errors import DecodeError
from rclib.wire.identity import (
    answer_key_statement,
    is_signed_by,
    offer_key_statement,
    release_statement,
    sign,
)
from rclib.wire.ids import EndpointId, TunnelKey
from rclib.wire.link import LinkRefused, decode_link, encode_link
from rclib.wire.session import EndReason, PathKind, RefusalReason
from tests.controld.simulation.virtual_time import now_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rclib.wire.control import Body
    from rclib.wire.ids import SessionId
    from rclib.wire.link import LinkFrame, LinkWelcome
    from tests.controld.simulation.virtual_time import Chance

HOST = "control.example"


class Cable:
    """One connection: frames in order and late, until it breaks. Both halves at once."""

    source = "192.0.2.7"

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._up: asyncio.Queue[str | None] = asyncio.Queue()
        self._down: asyncio.Queue[str | None] = asyncio.Queue()
        self.is_broken = False

    def cut(self) -> None:
        """What is on its way is lost."""
        if not self.is_broken:
            self.is_broken = True
            for queue in (self._up, self._down):
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    # controld's half, as `LinkServer` has it.

    def transmit(self, frame: LinkFrame) -> None:
        if not self.is_broken:
            self._down.put_nowait(encode_link(frame).decode())

    def refuse(self, reason: Any, detail: str) -> None:  # noqa: ANN401 -- a LinkRefusal
        self.transmit(LinkRefused(reason, detail[:500]))
        self.finish()

    def finish(self) -> None:
        if not self.is_broken:
            self._down.put_nowait(None)
            self._up.put_nowait(None)

    async def receive(self) -> LinkFrame | None:
        text = await self._up.get()
        if text is None or self.is_broken:
            return None
        await self._chance.pause(0.05)
        try:
            return decode_link(text)
        except DecodeError as exc:
            raise AssertionError(f"an end of ours spoke nonsense: {exc}") from None

    # The end's half, as aiohttp's socket.

    async def send_str(self, text: str) -> None:
        if self.is_broken:
            raise ConnectionResetError("the cable is cut")
        self._up.put_nowait(text)

    async def far_receive(self) -> SimpleNamespace:
        text = await self._down.get()
        if text is None or self.is_broken:
            return SimpleNamespace(type=aiohttp.WSMsgType.CLOSED, data=None)
        await self._chance.pause(0.05)
        return SimpleNamespace(type=aiohttp.WSMsgType.TEXT, data=text)


class Line(ControlLink):
    """The real control link, with a cable instead of a WebSocket."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[Cable]],
        settings: LinkSettings,
        end: End,
        log: Any,  # noqa: ANN401 -- a Logger
    ) -> None:
        super().__init__(settings, end, log)
        self._dial = dial
        self.cable: Cable | None = None

    async def _one_link(self) -> None:
        self.cable = await self._dial()
        socket: Any = SimpleNamespace(receive=self.cable.far_receive, send_str=self.cable.send_str)
        try:
            async with asyncio.timeout(10):
                welcome = await self._introduce(socket)
            self._begin(welcome)
            await self._live(socket)
        except (TimeoutError, OSError) as exc:
            raise LinkBrokenError(f"cut: {exc}") from None
        finally:
            self.cable.cut()


class End:
    """What both kinds of ends have."""

    def __init__(self, chance: Chance, name: str, endpoint: EndpointId, key: bytes) -> None:
        self.chance, self.name, self.endpoint = chance, name, endpoint
        self.key = Ed25519PrivateKey.from_private_bytes(key)
        self.identity = Identity(self.key)
        self.open: dict[SessionId, int] = {}
        """Until when, by session."""
        self.line: Line | None = None
        self.violations: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._errands: list[asyncio.Task[None]] = []

    def plug_in(self, dial: Callable[[], Awaitable[Cable]], log: Any) -> None:  # noqa: ANN401
        enrolment = Enrolment(f"https://{HOST}", self.endpoint, self.name, "plant", HOST)
        settings = LinkSettings(enrolment, self.identity, None)  # type: ignore[arg-type]
        self.line = Line(dial, settings, self, log)
        self._task = asyncio.create_task(self.line.run())

    def unplug(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.line = self._task = None

    def say(self, body: Body) -> None:
        if self.line is not None:
            self.line.send(body)

    def errand(self, work: Any) -> None:  # noqa: ANN401 -- a coroutine
        self._errands.append(asyncio.create_task(work))

    def stop(self) -> list[asyncio.Task[None]]:
        tasks = [*self._errands, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        return tasks

    def expire(self) -> None:
        for session in [s for s, until_ms in self.open.items() if until_ms <= now_ms()]:
            del self.open[session]
            self.say(SessionEnded(session, EndReason.LEASE_ENDED))

    def extend(self, body: LeaseRenewal) -> None:
        if body.session in self.open:
            self.open[body.session] = body.lease_until_ms
            asyncio.get_running_loop().call_later(
                (body.lease_until_ms - now_ms()) / 1000 + 0.001, self.expire
            )

    def hold(self, session: SessionId, until_ms: int) -> None:
        if until_ms <= now_ms():
            return
        self.open[session] = until_ms
        asyncio.get_running_loop().call_later((until_ms - now_ms()) / 1000 + 0.001, self.expire)

    # LinkHandler.

    def link_up(self, welcome: LinkWelcome) -> None: ...
    def link_down(self, detail: str) -> None: ...
    def link_acked(self, body: Body) -> None: ...


class SimGateway(End):
    """A plant's end. It links only while it is ON."""

    is_on = False

    def link_up(self, welcome: LinkWelcome) -> None:
        del welcome
        self.tell()

    def tell(self) -> None:
        if self.line is not None:
            self.line.discard(GatewayState)
            self.say(GatewayState(AccessMode.ON, sessions=tuple(self.open)))

    def switch_off(self) -> None:
        self.is_on = False
        self.open.clear()
        self.unplug()

    def link_body(self, body: Body, sent_ms: int) -> None:
        del sent_ms
        if not self.is_on:
            self.violations.append(f"{self.name} is OFF and hears {type(body).__name__}")
        match body:
            case SessionOffer():
                self.errand(self._consider(body))
            case LeaseRenewal():
                self.extend(body)
            case SessionEnd():
                self.open.pop(body.session, None)

    async def _consider(self, offer: SessionOffer) -> None:
        await self.chance.pause(5)
        statement = offer_key_statement(offer.session, offer.peer.tunnel_key)
        if not is_signed_by(offer.peer.identity_key, statement, offer.peer.signature):
            self.violations.append(f"{offer.session}: an offer nobody signed")
        if offer.needs_release or self.chance.happens(0.1):
            self.say(ReleasePending(offer.session, 60, self.identity.public))
            await self.chance.pause(30)
            if self.chance.happens(0.3):
                self.say(SessionRefusal(offer.session, RefusalReason.NOT_RELEASED))
                return
            self._release(offer)
        if not self.is_on or self.chance.happens(0.1):
            self.say(SessionRefusal(offer.session, RefusalReason.ACCESS_OFF))
            return
        key = TunnelKey(bytes(32))
        signed = answer_key_statement(
            offer.session, key, offer.peer.identity_key, offer.peer.tunnel_key
        )
        self.hold(offer.session, offer.lease_until_ms)
        self.say(SessionAnswer(offer.session, key, sign(self.key, signed)))
        await self.chance.pause(3)
        if offer.session in self.open:
            self.say(SessionProgress(offer.session, PathKind.RELAY))

    def _release(self, offer: SessionOffer) -> None:
        if self.chance.happens(0.3):
            return  # forgotten; the answer alone is not enough
        until_ms = offer.not_after_ms
        signed = release_statement(
            offer.session, offer.peer.identity_key, offer.targets, until_ms, "shift"
        )
        signature = sign(self.key, signed if self.chance.happens(0.9) else b"something else")
        self.say(SessionRelease(offer.session, "shift", until_ms, signature))


class SimClient(End):
    """A technician's computer."""

    def redeem(self, session: SessionId, ticket: str) -> None:
        key = TunnelKey(bytes(reversed(range(32))))
        signature = sign(self.key, offer_key_statement(session, key))
        for _ in range(2 if self.chance.happens(0.2) else 1):
            self.say(TicketRedeem(session, ticket, key, signature))

    def give_up(self) -> None:
        if self.open:
            session = self.chance.one_of(sorted(self.open))
            del self.open[session]
            self.say(SessionEnd(session, EndReason.TECHNICIAN))

    def link_body(self, body: Body, sent_ms: int) -> None:
        del sent_ms
        match body:
            case SessionGrant():
                self.hold(body.session, body.lease_until_ms)
                self.errand(self._progress(body.session))
            case LeaseRenewal():
                self.extend(body)
            case SessionEnd():
                self.open.pop(body.session, None)

    async def _progress(self, session: SessionId) -> None:
        await self.chance.pause(3)
        if session in self.open:
            self.say(SessionProgress(session, self.chance.one_of(list(PathKind))))
