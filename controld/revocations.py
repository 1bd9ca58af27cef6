"""Tells relays which sessions are over, so that their tokens admit nobody until they run out.

The store is the list: sessions that are over for good and whose last admission has not run out. A
relay keeps what it is told in memory alone. So a connection to it stays open for as long as
there is anything on the list; when it breaks, everything is said again on the next one. Nothing
of controld waits for a relay: one that cannot be reached lets the leases run out.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from controld.store import StoreUnavailableError
from controld.store_sessions import list_revocable
from rclib.runtime.backoff import FullJitter
from rclib.runtime.logs import RateLimitedLogger
from rclib.wire import relay
from rclib.wire.admission import ISSUED_AHEAD_S
from rclib.wire.errors import DecodeError
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from controld.admissions import Admissions
    from controld.store import Store
    from rclib.runtime.logs import Logger
    from rclib.wire.ids import RelayId, SessionId

LOOK_S: Final = 1.0
"""How often the list is read without being asked to."""
CONNECT_S: Final = 10
CLOSE_S: Final = 1.0
"""For a relay to answer a goodbye: the end of controld does not wait for one that hangs."""
RETRY_S: Final = 0.5
MAX_RETRY_S: Final = 5.0
RELAY_NOT_TOLD = "relay_not_told"


@dataclass(frozen=True, slots=True)
class Over:
    """A session that has ended, and until when a relay has to remember that (UTC seconds)."""

    session: SessionId
    until_s: int


class Revoker:
    """Keeps every relay told."""

    def __init__(
        self,
        store: Store,
        admissions: Admissions,
        tls: ssl.SSLContext,
        now_ms: Callable[[], int],
        log: Logger,
    ) -> None:
        self._store = store
        self._admissions = admissions
        self._tls = tls
        self._now_ms = now_ms
        self._log = RateLimitedLogger(log)
        self._news = asyncio.Event()
        """Set once; then there is another one."""

    async def run(self) -> None:
        """Serve every relay for ever."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as relays:
            for name, url in self._admissions.addresses():
                relays.create_task(self._keep_told(http, name, url))

    def wake(self) -> None:
        """Look at once: a session may have ended."""
        self._news.set()
        self._news = asyncio.Event()

    async def _keep_told(self, http: aiohttp.ClientSession, name: RelayId, url: str) -> None:
        backoff = FullJitter(RETRY_S, MAX_RETRY_S)
        while True:
            news = self._news
            try:
                if await self._over():
                    await self._tell(http, name, url, backoff)
                    continue
            except (OSError, aiohttp.ClientError, StoreUnavailableError) as exc:
                reason = str(exc) or "no answer in time"
                self._log.warning(RELAY_NOT_TOLD, once_per=url, relay=name, url=url, reason=reason)
                # The share is drawn where nothing depends on its secrecy.
                await asyncio.sleep(backoff.next(random.random()))  # noqa: S311
            else:
                await _wait(news)

    async def _tell(
        self, http: aiohttp.ClientSession, name: RelayId, url: str, backoff: FullJitter
    ) -> None:
        """Keep one connection until there is nothing left to say. Raises OSError, ClientError."""
        told: set[SessionId] = set()
        async with asyncio.timeout(CONNECT_S):
            closing = aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
            socket = await http.ws_connect(url, ssl=self._tls, compress=0, timeout=closing)
        reading = asyncio.create_task(_answer_pings(socket))
        try:
            while True:
                news = self._news
                over = await self._over()
                if not over:
                    return
                for each in over:
                    if each.session not in told:
                        await socket.send_bytes(self._message(each, name))
                        told.add(each.session)
                await _wait(news, reading)
                if reading.done():
                    reading.result()
                backoff.reset()
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError, aiohttp.ClientError):
                await reading
            await socket.close()

    async def _over(self) -> Sequence[Over]:
        """Read the list, what is to be remembered longest first."""
        now_ms = self._now_ms()
        found = await self._store.read(lambda tx: list_revocable(tx, now_ms))
        # A relay whose clock is ahead is not to take the last seconds for the past.
        return [Over(session, until_ms // 1000 + ISSUED_AHEAD_S) for session, until_ms in found]

    def _message(self, over: Over, name: RelayId) -> bytes:
        now_s = self._now_ms() // 1000
        revocation = self._admissions.revocation(over.session, name, now_s, over.until_s)
        return relay.encode(relay.Revoke(revocation))


async def _wait(news: asyncio.Event, reading: asyncio.Task[None] | None = None) -> None:
    """Return on news, when the connection ends, or after LOOK_S."""
    waiting = asyncio.create_task(news.wait())
    tasks = {waiting} if reading is None else {waiting, reading}
    try:
        await asyncio.wait(tasks, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _answer_pings(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read until the relay has gone, which raises OSError with its reason."""
    while True:
        message = await socket.receive(timeout=relay.DEAD_S)
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise ConnectionResetError("the relay closed the connection")
        try:
            frame = relay.decode(message.data)
        except DecodeError as exc:
            raise ConnectionError(f"the relay broke the protocol: {exc}") from None
        match frame:
            case relay.Ping(echo):
                await socket.send_bytes(relay.encode(relay.Pong(echo)))
            case relay.Close(CloseReason.DONE | CloseReason.SHUTTING_DOWN, detail):
                raise ConnectionResetError(f"the relay closed: {detail}")
            case relay.Close(reason, detail):
                raise ConnectionError(f"the relay refused a revocation: {reason.name}: {detail}")
            case _:
                pass
