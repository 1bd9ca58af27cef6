"""Lines of bytes between processes of one machine, over Unix stream sockets.

What the lines mean is the business of the callers. The kernel names the peer
(SO_PEERCRED), so that a server can choose whom it serves. Linux only.

In the order of a connection's life: serve, connect, receive, send, close.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import LocalProtocolError, LocalUnavailable, PeerGone
from rclib.runtime.local_caller import LINE_LIMIT, why_unavailable
from rclib.runtime.local_socket import open_listener
from rclib.runtime.logs import RateLimitedLogger, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = [
    "LINE_LIMIT",
    "Connection",
    "LocalProtocolError",
    "LocalUnavailable",
    "Peer",
    "PeerGone",
    "connect_local",
    "serve_local",
]

SEND_TIMEOUT_S: Final = 5.0  # for a peer to read what it was sent
MAX_CONNECTIONS: Final = 64  # at once, of one server
CLOSING_GRACE_S: Final = 1.0  # for handlers to end after the server was asked to stop
ACCEPT_PAUSE_S: Final = 0.2  # when the process is out of file descriptors
QUEUE_POLL_S: Final = 0.05  # while a server's queue of connections is full

PEER_REFUSED = "local_peer_refused"
PEER_FAULTED = "local_peer_faulted"
CONNECTION_FAILED = "local_connection_failed"
ACCEPT_FAILED = "local_accept_failed"

_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel saw it when it connected."""

    pid: int
    uid: int
    gid: int


class Connection:
    """One connection, line by line; either end may close it at any time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self.peer = peer
        self._reader = reader
        self._writer = writer
        self._send_timeout_s = send_timeout_s
        self._sending = asyncio.Lock()

    async def receive(self) -> bytes | None:
        """Return the next line without its line break, or None when the peer has closed.

        Raises LocalProtocolError for a line over the limit or an end within a line,
        PeerGone when the connection breaks. One task receives.
        """
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as exc:
            if exc.partial:
                raise LocalProtocolError(
                    f"the connection ended {len(exc.partial)} bytes into a line"
                ) from None
            return None
        except asyncio.LimitOverrunError:
            raise LocalProtocolError(f"a line is longer than {LINE_LIMIT} bytes") from None
        except ConnectionError as exc:
            raise PeerGone(f"the connection broke: {exc}") from exc
        return line[:-1]

    async def send(self, line: bytes) -> None:
        """Send one line; several tasks may. Raises PeerGone, after which nothing can be sent.

        A peer that does not read in time loses its connection: what waits for it is
        bounded by the one line each sender holds.
        """
        if len(line) > LINE_LIMIT or b"\n" in line:
            raise ValueError(f"not one line of at most {LINE_LIMIT} bytes ({len(line)} bytes)")
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._write(line + b"\n")
        except TimeoutError:
            self.abort()
            raise PeerGone(f"the peer read nothing for {self._send_timeout_s} s") from None

    async def close(self) -> None:
        """Close after what was sent has left, or after the send timeout; idempotent."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._writer.wait_closed()
        except TimeoutError:
            self.abort()
        except ConnectionError:
            pass  # broken is closed as well

    def abort(self) -> None:
        """Drop the connection with whatever waits to be sent."""
        self._writer.transport.abort()

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            if self._writer.is_closing():
                raise PeerGone("the connection is closed")
            try:
                self._writer.write(data)
                await self._writer.drain()
            except ConnectionError as exc:
                raise PeerGone(f"the connection broke: {exc}") from exc


async def serve_local(  # noqa: PLR0913 -- named options of one call, most with a default
    path: Path,
    on_connection: Callable[[Connection], Awaitable[None]],
    *,
    allowed_uids: frozenset[int] | None,
    mode: int = 0o660,
    group: str | None = None,
    stopping: asyncio.Event,
    listening: asyncio.Event | None = None,
    program: str = "program",
) -> None:
    """Serve local connections until `stopping` is set; run it as a task.

    `on_connection` is run for each connection, which is closed when it returns. What it
    raises costs that connection only: one log line, with traceback where the fault is
    ours. `allowed_uids` None admits everyone whom `mode` and `group` let in. `listening`
    is set once connections are accepted. When stopping, each `receive` reports the end,
    and handlers that still run after a second are cancelled.

    Raises StartError, for instance "another rcd is running" (`program`).
    """
    server = _Server(path, on_connection, allowed_uids)
    with open_listener(path, mode=mode, group=group, program=program) as listener:
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(server.accept(listener.sock, tasks))
            if listening is not None:
                listening.set()
            await stopping.wait()
            accepting.cancel()
            await asyncio.wait({accepting})
            listener.close()
            await server.end()


async def connect_local(
    path: Path, timeout_s: float, *, program: str = "the program behind it", hint: str = ""
) -> Connection:
    """Connect to the server behind `path`, waiting at most `timeout_s` for a place in its queue.

    Whether it answers is for the caller to see. Raises LocalUnavailable, which names
    `program` and ends with `hint`: how to start it.
    """
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.setblocking(False)  # noqa: FBT003 -- the name of the call says it
        try:
            async with asyncio.timeout(timeout_s):
                await _connect(sock, path)
                connection = await _over(sock, _peer_of(sock))
        except OSError as exc:
            reason = why_unavailable(exc, path, timeout_s, program=program, hint=hint)
        else:
            undo.pop_all()
            return connection
    raise LocalUnavailable(reason)


class _Server:
    """Accepts, admits by uid, and knows which connections are open."""

    def __init__(
        self,
        path: Path,
        on_connection: Callable[[Connection], Awaitable[None]],
        allowed_uids: frozenset[int] | None,
    ) -> None:
        self._on_connection = on_connection
        self._allowed_uids = allowed_uids
        self._log = RateLimitedLogger(get_logger("local", path=str(path)))
        self._handlers: dict[asyncio.Task[None], socket.socket] = {}

    async def accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Start a handler for each admitted connection, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as exc:
                # Out of file descriptors or memory: the connection stays in the queue.
                self._log.error(ACCEPT_FAILED, once_per=exc.errno, reason=exc)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            peer = _peer_of(sock)
            refusal = self._refusal(peer)
            if refusal is not None:
                sock.close()
                once = (refusal, peer.uid)
                self._log.warning(PEER_REFUSED, once_per=once, peer=peer, reason=refusal)
                continue
            handler = tasks.create_task(self._handle(sock, peer))
            self._handlers[handler] = sock
            handler.add_done_callback(self._handlers.pop)

    async def end(self) -> None:
        """Let the handlers finish, then cancel those that do not."""
        for sock in self._handlers.values():
            # Makes `receive` report the end after the lines that have already arrived.
            with suppress(OSError):  # the peer was faster
                sock.shutdown(socket.SHUT_RD)
        if self._handlers:
            _, late = await asyncio.wait(set(self._handlers), timeout=CLOSING_GRACE_S)
            for handler in late:
                handler.cancel()

    def _refusal(self, peer: Peer) -> str | None:
        if self._allowed_uids is not None and peer.uid not in self._allowed_uids:
            return "this uid is not allowed"
        if len(self._handlers) >= MAX_CONNECTIONS:
            return "too many connections"
        return None

    async def _handle(self, sock: socket.socket, peer: Peer) -> None:
        connection = await _over(sock, peer)
        try:
            await self._on_connection(connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except (LocalProtocolError, PeerGone) as exc:
            once = (type(exc).__name__, peer.uid)
            self._log.warning(PEER_FAULTED, once_per=once, peer=peer, reason=exc)
        except Exception as exc:  # noqa: BLE001 -- one connection's fault must not end the others
            once = (type(exc).__name__, peer.uid)
            self._log.error(CONNECTION_FAILED, once_per=once, peer=peer, exc_info=exc)
        finally:
            await connection.close()


async def _connect(sock: socket.socket, path: Path) -> None:
    while True:
        try:
            # A Unix socket connects at once or not at all; the loop's own sock_connect
            # takes a full queue for a connection under way, and then for one that is there.
            sock.connect(str(path))
        except BlockingIOError:
            await asyncio.sleep(QUEUE_POLL_S)  # nothing tells when a place becomes free
        else:
            return


async def _over(sock: socket.socket, peer: Peer) -> Connection:
    try:
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LINE_LIMIT)
    except BaseException:
        sock.close()
        raise
    return Connection(reader, writer, peer)


def _peer_of(sock: socket.socket) -> Peer:
    return Peer(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
