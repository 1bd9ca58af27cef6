"""The calling end of `rclib.runtime.local` without a loop, for commands that ask and wait.

A third of a second is what asyncio, its loop and the logs take to load on a small computer: too
long for a command that hands something over.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from rclib.runtime.errors import LocalProtocolError, LocalUnavailable, PeerGone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE_LIMIT: Final = 64 * 1024  # bytes of a line without its line break


def why_unavailable(exc: OSError, path: Path, timeout_s: float, *, program: str, hint: str) -> str:
    """Say why nobody can be talked to behind a socket; `hint`: how to start it."""
    match exc:
        case TimeoutError():
            reason = f"{program} does not answer on {path} within {timeout_s} s"
        case FileNotFoundError() | ConnectionRefusedError():
            reason = f"{program} is not running: nobody answers on {path}"
        case PermissionError():
            reason = f"no permission to talk to {program} on {path}"
        case _:
            reason = f"cannot talk to {program} on {path}: {exc.strerror or exc}"
    return f"{reason}; {hint}" if hint else reason


class LocalCall:
    """One connection, used as a context; raises LocalUnavailable when it is made."""

    def __init__(self, path: Path, timeout_s: float, *, program: str, hint: str = "") -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(path))
        except OSError as exc:
            self._socket.close()
            reason = why_unavailable(exc, path, timeout_s, program=program, hint=hint)
            raise LocalUnavailable(reason) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def ask(self, line: bytes) -> Iterator[bytes]:
        """Send one line, yield what is answered until the other end closes, however long it takes.

        Raises PeerGone and LocalProtocolError.
        """
        try:
            self._socket.sendall(line + b"\n")
            self._socket.settimeout(None)
            with self._socket.makefile("rb") as answers:
                while answer := answers.readline(LINE_LIMIT + 1):
                    if not answer.endswith(b"\n"):
                        raise LocalProtocolError(
                            f"a line is cut off or longer than {LINE_LIMIT} bytes"
                        )
                    yield answer[:-1]
        except OSError as exc:
            raise PeerGone(f"the connection broke: {exc}") from exc

    def hang_up(self) -> None:
        """End it from wherever, a signal's handler for instance: `ask` sees the end."""
        with suppress(OSError):  # the other end was faster
            self._socket.shutdown(socket.SHUT_RDWR)
