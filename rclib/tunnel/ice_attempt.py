"""The ICE of a path's attempts, one at a time: gather, offer or answer, check.

What comes of an attempt is told with its number, because it may be over by then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from rclib.tunnel.ice import IceAgent, IceFailedError, Pair
from rclib.tunnel.own_addresses import read_own_addresses
from rclib.wire.gate import UdpEndpoint
from rclib.wire.identity import Side
from rclib.wire.path_signal import Candidate, IceAnswer, IceCandidates, IceOffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.wire.control import StunServer
    from rclib.wire.path_signal import SignalBody


class AttemptHandler(Protocol):
    """What the path does with what became of an attempt."""

    def ice_nominated(self, attempt: int) -> None: ...
    def ice_failed(self, attempt: int, detail: str) -> None: ...


class IceAttempt:
    """The newest attempt of one end."""

    def __init__(
        self,
        side: Side,
        stun: tuple[StunServer, ...],
        send: Callable[[SignalBody], bool],
        handler: AttemptHandler,
        log: Logger,
    ) -> None:
        # Fixed after construction.
        self._side = side
        self._stun = stun
        self._send = send
        self._handler = handler
        self._log = log
        # Of the attempt.
        self._agent: IceAgent | None = None
        self._checking: asyncio.Task[None] | None = None
        self._offer: IceOffer | None = None
        self.pair: Pair | None = None
        """What was nominated last."""
        self.own_endpoint = ""
        """Where this end was seen last."""

    @property
    def is_running(self) -> bool:
        """Whether it has its port."""
        return self._agent is not None

    def offered(self, offer: IceOffer) -> None:
        """What the technician's end has; the gateway's begins with it."""
        self._offer = offer

    async def start(self, attempt: int) -> None:
        """Open a port, gather addresses, offer or answer them."""
        await self.close()
        agent = self._agent = IceAgent(
            controlling=self._side is Side.TECHNICIAN,
            own=await asyncio.to_thread(read_own_addresses),
            on_candidates=lambda found, last: self._learned(attempt, found, is_last=last),
            log=self._log,
        )
        candidates = await agent.gather()
        ufrag, password = agent.credentials
        kind = IceOffer if self._side is Side.TECHNICIAN else IceAnswer
        self._send(kind(attempt, ufrag, password, candidates))
        agent.ask(self._stun)
        offer = self._offer
        if self._side is Side.GATEWAY and offer is not None and offer.attempt == attempt:
            await self.check(attempt, offer)

    async def check(self, attempt: int, other: IceOffer | IceAnswer) -> None:
        """Try the pairs with what the other end said."""
        agent = self._agent
        if agent is None:
            return
        await agent.add_remote(other.candidates, is_last=False)

        async def check() -> None:
            try:
                self.pair = await agent.connect(other.ufrag, other.password)
            except IceFailedError as exc:
                self._handler.ice_failed(attempt, str(exc))
            else:
                self._handler.ice_nominated(attempt)

        self._checking = asyncio.create_task(check(), name="ice-check")

    async def add(self, candidates: tuple[Candidate, ...], *, is_last: bool) -> None:
        """The other end has learned more of its addresses."""
        if self._agent is not None:
            await self._agent.add_remote(candidates, is_last=is_last)

    async def close(self) -> None:
        """Give the port up; idempotent."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
            self._checking = None
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()

    def _learned(self, attempt: int, found: tuple[Candidate, ...], *, is_last: bool) -> None:
        for candidate in found:
            self.own_endpoint = str(UdpEndpoint(candidate.address, candidate.port))
        self._send(IceCandidates(attempt, found, is_last))
