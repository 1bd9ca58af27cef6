"""rcd's connection to the gate: kept up, and with it the allow-set.

A session lives as long as this task renews it. If the task hangs or dies, the kernel closes the
door after LIFETIME_S without anybody's help; that is why the watchdog is fed from here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from rclib.tunnel.gate_client import GateClient, GateRefused, GateUnavailable
from rclib.wire.gate import RENEW_S, Gone, Tampered

if TYPE_CHECKING:
    from rcd.config import RcdConfig
    from rcd.sessions import Sessions
    from rclib.runtime.context import Context
    from rclib.wire.gate import Flows, TunnelCounters, UdpEndpoint
    from rclib.wire.ids import SessionId

MEASURE_S: Final = 0.5
COUNT_S: Final = 1.0
"""How often the flow record is read: the gate's own readings are no closer."""
RETRY_S: Final = 1.0

GATE_READY = "gate_ready"
GATE_LOST = "gate_lost"


class GateHandler(Protocol):
    """What the daemon does with the gate's events."""

    sessions: Sessions

    def gate_measured(self, tunnels: tuple[TunnelCounters, ...]) -> None: ...
    def gate_counted(self, flows: Flows) -> None: ...
    def gate_expired(self, sessions: tuple[SessionId, ...]) -> None: ...
    def gate_lost(self, detail: str) -> None: ...
    def gate_tampered(self, detail: str) -> None: ...
    def gate_gone(self, session: SessionId, detail: str) -> None: ...


class GateLink:
    """Connects, renews, measures; reconnects for ever."""

    def __init__(self, config: RcdConfig, ctx: Context, handler: GateHandler) -> None:
        self._path = Path(config.gate_socket)
        self._ctx = ctx
        self._handler = handler
        self._client: GateClient | None = None
        self.detail = "not connected yet"

    @property
    def is_ready(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> GateClient:
        """The connected gate; raises GateUnavailable."""
        if self._client is None:
            raise GateUnavailable(f"rcd-gate does not answer: {self.detail}")
        return self._client

    # What paths need (`rclib.tunnel.path_settings.PathGate`), by whichever connection there is.

    async def measure(self) -> tuple[TunnelCounters, ...]:
        return await self.client.measure()

    async def probe(self, session: SessionId) -> None:
        await self.client.probe(session)

    async def steer(
        self,
        session: SessionId,
        *,
        listen_port: int | None = None,
        endpoint: UdpEndpoint | None = None,
    ) -> None:
        await self.client.steer(session, listen_port=listen_port, endpoint=endpoint)

    async def run(self) -> None:
        said = ""
        while True:
            try:
                await self._one_connection()
            except GateUnavailable as exc:
                self.detail = str(exc)
                was_ready, self._client = self._client is not None, None
                if self.detail != said:
                    self._ctx.log.warning(GATE_LOST, detail=self.detail)
                    said = self.detail
                if was_ready:
                    self._handler.gate_lost(self.detail)
            # The gate is away, not rcd: the watchdog is not the cure, and nothing is open.
            self._ctx.healthy()
            await asyncio.sleep(RETRY_S)

    async def _one_connection(self) -> None:
        client = await GateClient.connect(
            self._path, program="rcd-gate", hint="systemctl start rcd-gate"
        )
        events = asyncio.create_task(self._watch(client), name="gate-events")
        try:
            self._client, self.detail = client, ""
            self._ctx.log.info(GATE_READY)
            next_renewal = next_count = 0.0
            loop = asyncio.get_running_loop()
            while True:
                if loop.time() >= next_renewal:
                    next_renewal = loop.time() + RENEW_S
                    await self._renew(client)
                    self._ctx.healthy()
                if self._handler.sessions.open:
                    self._handler.gate_measured(await client.measure())
                if loop.time() >= next_count:
                    next_count = loop.time() + COUNT_S
                    await self._count(client)
                await asyncio.wait({events}, timeout=MEASURE_S)
                if events.done():
                    events.result()
        except GateRefused as exc:
            raise GateUnavailable(str(exc)) from None
        finally:
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)
            await client.aclose()

    async def _renew(self, client: GateClient) -> None:
        sessions = tuple(s.offer.session for s in self._handler.sessions.open if s.is_open)
        if sessions:
            expired = await client.renew(sessions)
            if expired:
                self._handler.gate_expired(expired)

    async def _count(self, client: GateClient) -> None:
        for session in self._handler.sessions.open:
            if session.is_open:
                with suppress(GateRefused):  # it has just been closed, and forgotten
                    self._handler.gate_counted(await client.flows(session.offer.session))

    async def _watch(self, client: GateClient) -> None:
        async for event in client.events():
            match event:
                case Tampered(detail):
                    self._handler.gate_tampered(detail)
                case Gone(session, detail):
                    self._handler.gate_gone(session, detail)
        raise GateUnavailable("rcd-gate has closed the connection")
