"""The unprivileged half's way to its gate: one connection, one coroutine per verb.

    async with await GateClient.connect(path) as gate:
        key = await gate.prepare(session)

Losing the connection means that the gate has closed every session, or does when it notices.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final, Self, TypeVar

from rclib.runtime.errors import LocalProtocolError, LocalUnavailable, PeerGone
from rclib.runtime.local import connect_local
from rclib.tunnel.gate_errors import GateRefused, GateUnavailable
from rclib.wire.errors import DecodeError
from rclib.wire.gate import (
    Close,
    CloseAll,
    Done,
    Flows,
    GateFailed,
    GateReply,
    GateRequest,
    Gone,
    Measure,
    Measured,
    Opened,
    Prepare,
    Prepared,
    Probe,
    ReadFlows,
    Renew,
    Renewed,
    Steer,
    Tampered,
    decode_frame,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from rclib.runtime.local import Connection
    from rclib.wire.gate import Open, Result, TunnelCounters, UdpEndpoint, Verb
    from rclib.wire.ids import SessionId, TunnelKey

R = TypeVar("R", Prepared, Opened, Renewed, Done, Measured, Flows)

__all__ = ["GateClient", "GateRefused", "GateUnavailable"]

CONNECT_S: Final = 5.0
ANSWER_S: Final = 5.0
OPEN_S: Final = 10.0
"""wireguard-go has to start."""

_MAX_EVENTS: Final = 256


class GateClient:
    """A connection to a gate. Every verb raises GateRefused or GateUnavailable."""

    @classmethod
    async def connect(cls, path: Path, *, program: str = "the gate", hint: str = "") -> GateClient:
        """Connect; raises GateUnavailable, whose text names `program` and ends with `hint`."""
        try:
            connection = await connect_local(path, CONNECT_S, program=program, hint=hint)
        except LocalUnavailable as exc:
            raise GateUnavailable(str(exc)) from None
        return cls(connection, program)

    def __init__(self, connection: Connection, program: str = "the gate") -> None:
        self._connection = connection
        self._program = program
        self._numbers = count(1)
        # The gate does one thing after the other. Asked so, it owes each answer in the time that
        # is set for it, and a question behind a slow one does not find the gate late.
        self._turn = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._events: asyncio.Queue[Tampered | Gone | None] = asyncio.Queue()
        self._lost: str | None = None
        self._reader = asyncio.create_task(self._read(), name="gate reader")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def prepare(self, session: SessionId) -> TunnelKey:
        """Have a key made for a session; returns its public half."""
        return (await self._ask(Prepare(session), Prepared, ANSWER_S)).tunnel_key

    async def open(self, request: Open) -> Opened:
        return await self._ask(request, Opened, OPEN_S)

    async def renew(self, sessions: Iterable[SessionId]) -> tuple[SessionId, ...]:
        """Renew, every RENEW_S seconds; returns the sessions it was too late for, now closed."""
        return (await self._ask(Renew(tuple(sessions)), Renewed, ANSWER_S)).expired

    async def close(self, session: SessionId) -> None:
        """Close a session; one that is not open is closed already."""
        await self._ask(Close(session), Done, ANSWER_S)

    async def close_all(self) -> None:
        await self._ask(CloseAll(), Done, ANSWER_S)

    async def measure(self) -> tuple[TunnelCounters, ...]:
        return (await self._ask(Measure(), Measured, ANSWER_S)).tunnels

    async def flows(self, session: SessionId) -> Flows:
        """Read what passed in a session; refused as unknown if it was never open, or long ago."""
        return await self._ask(ReadFlows(session), Flows, ANSWER_S)

    async def steer(
        self,
        session: SessionId,
        *,
        listen_port: int | None = None,
        endpoint: UdpEndpoint | None = None,
    ) -> None:
        """Move a session's WireGuard to another port, point it elsewhere, or both in one step."""
        await self._ask(Steer(session, listen_port, endpoint), Done, ANSWER_S)

    async def probe(self, session: SessionId) -> None:
        """Have one keepalive sent."""
        await self._ask(Probe(session), Done, ANSWER_S)

    async def events(self) -> AsyncIterator[Tampered | Gone]:
        """Yield what the gate reports by itself; one task iterates.

        Ends after `aclose`; raises GateUnavailable when the connection was lost.
        """
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)  # for whoever asks again
        if self._lost is not None:
            raise GateUnavailable(self._lost)

    async def aclose(self) -> None:
        """Let go of the gate, which closes every session of this connection; idempotent."""
        self._reader.cancel()
        await asyncio.wait({self._reader})
        await self._connection.close()

    async def _ask(self, verb: Verb, expected: type[R], timeout_s: float) -> R:
        try:
            async with self._turn, asyncio.timeout(timeout_s):
                result = await self._exchange(verb)
        except TimeoutError:
            # What it did cannot be known any more; without the connection it undoes all of it.
            self._lose(f"{self._program} did not answer within {timeout_s:g} s")
            raise self._unavailable() from None
        if isinstance(result, GateFailed):
            raise GateRefused(result.error, result.detail)
        if not isinstance(result, expected):
            self._lose(f"{self._program} answered a {type(verb).__name__} with {result!r}")
            raise self._unavailable()
        return result

    async def _exchange(self, verb: Verb) -> Result:
        if self._lost is not None or self._reader.done():
            raise self._unavailable()
        number = next(self._numbers)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._connection.send(encode(GateRequest(number, verb)))
            return await answer
        except PeerGone as exc:
            self._lose(f"{self._program} is gone: {exc}")
            raise self._unavailable() from None
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        try:
            while (line := await self._connection.receive()) is not None:
                self._take(line)
            self._lose(f"{self._program} closed the connection")
        except (LocalProtocolError, PeerGone, DecodeError) as exc:
            self._lose(f"{self._program} is gone: {exc}")
        finally:
            self._end()

    def _take(self, line: bytes) -> None:
        match decode_frame(line):
            case GateReply(number, result):
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(result)
            case Tampered() | Gone() as event:
                if self._events.qsize() >= _MAX_EVENTS:
                    raise LocalProtocolError(f"more than {_MAX_EVENTS} events nobody asked for")
                self._events.put_nowait(event)

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        self._connection.abort()

    def _end(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._unavailable())
        self._events.put_nowait(None)

    def _unavailable(self) -> GateUnavailable:
        return GateUnavailable(self._lost or f"the connection to {self._program} is closed")
