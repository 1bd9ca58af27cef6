"""One question to rcd, one answer: a connection each, so that none can be stale."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from rclib.runtime.clock import wall_ms
from rclib.runtime.local import LocalProtocolError, LocalUnavailable, PeerGone, connect_local
from rclib.wire.errors import DecodeError
from rclib.wire.local import (
    CHECK_S,
    CheckConnection,
    EndSession,
    Enrol,
    Failed,
    GateState,
    GetStatus,
    JournalPage,
    ReadJournal,
    RecordLogin,
    Refuse,
    Release,
    Request,
    Response,
    SetAccess,
    Status,
    decode_response,
    encode,
)

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T", Status, JournalPage)

# GetStatus is asked by everyone who looks, and has to tell soon that nobody answers. The others
# are answered when they are done; OFF has 2 s for that, enrolment waits for another continent.
_DEADLINES_S: Final[dict[type, float]] = {
    GetStatus: 2.0,
    CheckConnection: CHECK_S + 5.0,
    RecordLogin: 2.0,
    ReadJournal: 5.0,
    SetAccess: 15.0,
    EndSession: 15.0,
    Release: 5.0,
    Refuse: 5.0,
    Enrol: 25.0,
}


class RcdAwayError(Exception):
    """rcd does not answer: what it was asked may or may not have happened."""


@dataclass(slots=True)
class Contact:
    """Since when rcd or its gate has not answered (UTC ms); None: it does, or nobody asked yet."""

    rcd_away_ms: int | None = None
    gate_away_ms: int | None = None

    def heard(self, status: Status, now_ms: int) -> None:
        self.rcd_away_ms = None
        if status.gate is GateState.READY:
            self.gate_away_ms = None
        elif self.gate_away_ms is None:
            self.gate_away_ms = now_ms

    def missed(self, now_ms: int) -> None:
        if self.rcd_away_ms is None:
            self.rcd_away_ms = now_ms


class Rcd:
    """The page's view of rcd."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.contact = Contact()

    async def ask(self, request: Request) -> Response:
        """Raises RcdAwayError."""
        deadline_s = _DEADLINES_S[type(request)]
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._exchange(request, deadline_s)
        except TimeoutError:
            self.contact.missed(wall_ms())
            raise RcdAwayError(f"no answer within {deadline_s:.0f} s") from None
        except (LocalUnavailable, LocalProtocolError, PeerGone, DecodeError) as exc:
            self.contact.missed(wall_ms())
            raise RcdAwayError(str(exc)) from None
        if isinstance(answer, Status):
            self.contact.heard(answer, wall_ms())
        return answer

    async def status(self) -> Status:
        """Raises RcdAwayError, also where rcd answers that it cannot tell."""
        return _expected(Status, await self.ask(GetStatus()))

    async def journal(self, after: int) -> tuple[str, ...]:
        """Lines of the gateway's signed record behind `after`. Raises RcdAwayError."""
        return _expected(JournalPage, await self.ask(ReadJournal(after))).lines

    async def _exchange(self, request: Request, deadline_s: float) -> Response:
        connection = await connect_local(self._socket, deadline_s, program="rcd")
        try:
            await connection.send(encode(request))
            line = await connection.receive()
            if line is None:
                raise PeerGone("rcd closed the connection without an answer")
            return decode_response(line)
        finally:
            # Everything is said; a graceful close would let a hanging rcd hold the browser.
            connection.abort()


def _expected(kind: type[T], answer: Response) -> T:
    if isinstance(answer, kind):
        return answer
    why = f"{answer.error.value}: {answer.detail}" if isinstance(answer, Failed) else "confused"
    raise RcdAwayError(why)
