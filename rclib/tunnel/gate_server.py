"""Serves the gate protocol on a Unix socket (docs/protocol/local.md).

The sessions a connection opened live no longer than it does, and nobody else sees them. One
connection controls the gateway's gate; the technician's serves one for each session. All verbs run
on one thread, one after the other, so that neither a slow one nor the watch stops the loop. One
that never ends would hold up all others, also every closing: then the process ends.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from rclib.runtime.errors import LocalProtocolError, PeerGone
from rclib.runtime.local import serve_local
from rclib.runtime.supervisor import EXIT_FAILED
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_owners import Owners
from rclib.wire.errors import DecodeError
from rclib.wire.gate import (
    LIFETIME_S,
    MAX_UNDER_WAY,
    Close,
    CloseAll,
    Done,
    GateFailed,
    GateFrame,
    GateReply,
    Gone,
    Measure,
    Measured,
    Open,
    Prepare,
    Probe,
    ReadFlows,
    Renew,
    Renewed,
    Result,
    Steer,
    Tampered,
    Verb,
    decode_request,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rclib.runtime.context import Context
    from rclib.runtime.local import Connection
    from rclib.tunnel.gate_sessions import Gate
    from rclib.wire.gate import GateRequest

T = TypeVar("T")

WATCH_S: Final = 1.0
"""How often the rules and interfaces are looked after."""

STEP_S: Final = LIFETIME_S
"""How long a verb or a look may take. By then the kernel has shut what nobody could renew."""

_STDERR: Final = 2
_SUCCESSION_S: Final = 5.0  # for a former connection's sessions to be closed

GATE_CONTROLLED = "gate_controlled"
GATE_RELEASED = "gate_released"
GATE_BUSY = "gate_busy"
VERB_REFUSED = "verb_refused"
CLOSE_INCOMPLETE = "close_incomplete"
STEP_HUNG = "step_hung"


class GateServer:
    """One gate behind one socket."""

    def __init__(self, gate: Gate, ctx: Context, *, max_controllers: int = 1) -> None:
        self._gate = gate
        self._ctx = ctx
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gate")
        self._control = asyncio.Semaphore(max_controllers)
        self._controllers: list[Connection] = []
        self._owners = Owners()
        self._step: object | None = None
        """What the thread is doing now."""
        self._unheard: deque[Tampered] = deque(maxlen=MAX_UNDER_WAY)

    async def run(
        self,
        path: Path,
        *,
        allowed_uids: frozenset[int],
        group: str | None,
        program: str,
        listening: asyncio.Event | None = None,
    ) -> None:
        """Sweep, serve until the context stops, sweep. Raises StartError and GateRefused.

        `listening` is set once connections are accepted.
        """
        limit = self._ctx.tasks.create_task(self._limit_steps(), name="gate limit")
        await self._on_thread(self._gate.sweep)
        watch = self._ctx.tasks.create_task(self._watch(), name="gate watch")
        try:
            await serve_local(
                path,
                self._serve,
                allowed_uids=allowed_uids,
                group=group,
                stopping=self._ctx.stopping,
                listening=listening,
                program=program,
            )
        finally:
            watch.cancel()
            await self._on_thread(self._gate.sweep)
            limit.cancel()
            self._thread.shutdown()

    async def backend(self) -> str:
        """Which WireGuard this machine has; raises GateRefused if none."""
        return await self._on_thread(lambda: self._gate.wireguard().name)

    async def _serve(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_SUCCESSION_S):
                await self._control.acquire()
        except TimeoutError:
            self._ctx.log.warning(GATE_BUSY, pid=connection.peer.pid)
            return
        self._ctx.log.info(GATE_CONTROLLED, pid=connection.peer.pid, uid=connection.peer.uid)
        self._controllers.append(connection)
        try:
            await self._report_unheard(connection)
            await self._obey(connection)
        finally:
            try:
                await self._on_thread(partial(self._close_all, connection))
            except GateRefused as exc:
                self._report(exc)
            finally:
                self._controllers.remove(connection)
                self._control.release()
            self._ctx.log.info(GATE_RELEASED, pid=connection.peer.pid)

    async def _obey(self, connection: Connection) -> None:
        requests: asyncio.Queue[GateRequest] = asyncio.Queue(MAX_UNDER_WAY)
        async with asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(self._work(connection, requests))
            try:
                while (line := await connection.receive()) is not None:
                    await requests.put(_decode(line))
            finally:
                # What the peer still wanted no longer counts: all of it is being closed.
                worker.cancel()

    async def _work(self, connection: Connection, requests: asyncio.Queue[GateRequest]) -> None:
        while True:
            request = await requests.get()
            result = await self._on_thread(partial(self._carry_out, connection, request.verb))
            await connection.send(encode(GateReply(request.number, result)))
            if isinstance(request.verb, Prepare):
                # The key is what is waited for; the rest is done while it travels.
                await self._on_thread(partial(self._gate.begin, request.verb.session))

    def _carry_out(self, connection: Connection, verb: Verb) -> Result:
        owners = self._owners
        try:
            match verb:
                case Prepare():
                    with owners.claimed(connection, verb.session):
                        return self._gate.prepare(verb.session)
                case Open():
                    with owners.claimed(connection, verb.session):
                        return self._gate.open(verb)
                case Renew():
                    foreign = {each for each in verb.sessions if not owners.owns(connection, each)}
                    own = tuple(each for each in verb.sessions if each not in foreign)
                    return Renewed((*self._gate.renew(own).expired, *foreign))
                case Close():
                    if owners.owns(connection, verb.session):
                        owners.forget(verb.session)
                        self._gate.close(verb.session)
                    return Done()
                case CloseAll():
                    self._close_all(connection)
                    return Done()
                case Measure():
                    tunnels = self._gate.measure().tunnels
                    return Measured(
                        tuple(each for each in tunnels if owners.owns(connection, each.session))
                    )
                case Steer():
                    owners.check(connection, verb.session)
                    self._gate.steer(verb)
                    return Done()
                case Probe():
                    owners.check(connection, verb.session)
                    self._gate.probe(verb.session)
                    return Done()
                case ReadFlows():
                    # Nobody owns it any more once it is closed.
                    if owners.of(verb.session) not in {None, connection}:
                        owners.check(connection, verb.session)
                    return self._gate.flows(verb.session)
        except GateRefused as exc:
            self._ctx.log.warning(
                VERB_REFUSED, verb=type(verb).__name__, error=exc.error, reason=exc.detail
            )
            return GateFailed(exc.error, exc.detail)

    async def _watch(self) -> None:
        while True:
            try:
                frames = await self._on_thread(self._gate.watch)
            except GateRefused as exc:
                self._report(exc)
                frames = ()
            for frame in frames:
                await self._pass_on(frame)
            self._ctx.healthy()
            await asyncio.sleep(WATCH_S)

    async def _pass_on(self, frame: Tampered | Gone) -> None:
        match frame:
            case Gone(session):
                owner = self._owners.of(session)
                self._owners.forget(session)
                if owner is not None:
                    await _is_heard(owner, frame)
            case Tampered():
                heard = [await _is_heard(each, frame) for each in tuple(self._controllers)]
                if not any(heard):
                    self._unheard.append(frame)

    async def _report_unheard(self, connection: Connection) -> None:
        """Tell a new controller what happened while there was none: it keeps the record."""
        while self._unheard:
            if not await _is_heard(connection, self._unheard[0]):
                return
            self._unheard.popleft()

    def _close_all(self, connection: Connection) -> None:
        """Close what is this connection's; where it is the only one, all there is."""
        own = self._owners.sessions_of(connection)
        for session in own:
            self._owners.forget(session)
        if self._controllers == [connection]:
            self._gate.close_all()
            return
        failure: GateRefused | None = None
        for session in own:
            try:
                self._gate.close(session)
            except GateRefused as exc:
                failure = exc
        if failure is not None:
            raise failure

    def _report(self, exc: GateRefused) -> None:
        # What is left is shut by the kernel when its allow-set runs out.
        self._ctx.log.error(CLOSE_INCOMPLETE, reason=exc.detail)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        """Queue work behind what is under way. A cancelled caller does not stop it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._take_step, work)

    def _take_step(self, work: Callable[[], T]) -> T:
        self._step = object()
        try:
            return work()
        finally:
            self._step = None

    async def _limit_steps(self) -> None:
        """End the process over a step that does not end, with the stacks of its threads on stderr.

        An nft that cannot even be killed, or a netlink call without an answer, is nothing that
        Python could end. systemd then runs `close` and starts the gate anew. Seconds are counted,
        so that a process that was stopped for a while is not taken for one that hangs.
        """
        step, seconds = None, 0
        while True:
            await asyncio.sleep(1)
            step, seconds = self._step, seconds + 1 if step is self._step else 0
            if step is not None and seconds >= STEP_S:
                self._ctx.log.error(STEP_HUNG, after_s=STEP_S)
                faulthandler.dump_traceback(file=_STDERR)
                os._exit(EXIT_FAILED)


async def _is_heard(controller: Connection, frame: GateFrame) -> bool:
    try:
        await controller.send(encode(frame))
    except PeerGone:
        return False  # its sessions are being closed by its own task
    return True


def _decode(line: bytes) -> GateRequest:
    try:
        return decode_request(line)
    except DecodeError as exc:
        raise LocalProtocolError(f"no gate request: {exc}") from None
