"""A listening Unix socket that is ours alone, with the permissions it should have.

A crashed server leaves its socket file behind, and a running one must not lose its
own to a second start: only a socket that nobody answers on is removed.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import shutil
import socket
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self

from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKLOG = 64


class Listener:
    """A listening socket and the file others find it by."""

    def __init__(self, path: Path, sock: socket.socket) -> None:
        self.sock = sock
        self._path = path
        self._file = path.lstat()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and remove the file, unless a successor has put its own there."""
        with suppress(FileNotFoundError):
            if self.sock.fileno() >= 0 and os.path.samestat(self._path.lstat(), self._file):
                self._path.unlink()
        self.sock.close()


def open_listener(path: Path, *, mode: int, group: str | None, program: str) -> Listener:
    """Listen on `path`, not blocking; raises StartError. `program` is who may answer there."""
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            with _sole_starter(path):
                _clear(path, program)
                sock.bind(str(path))
                undo.callback(path.unlink, missing_ok=True)
                # Nobody can connect before listen(), so that the permissions come first.
                # A service of that group gets it right by itself, and may change no owner.
                if group is not None and path.stat().st_gid != grp.getgrnam(group).gr_gid:
                    shutil.chown(path, group=group)
                path.chmod(mode)
                sock.listen(_BACKLOG)
        except LookupError:
            raise StartError(
                f"cannot listen on {path}: there is no group {group!r} on this machine; create it "
                f"with `groupadd --system {group}` or configure another one"
            ) from None
        except OSError as exc:
            raise _start_error(path, exc) from exc
        sock.setblocking(False)  # noqa: FBT003 -- the name of the call says it
        undo.pop_all()
        return Listener(path, sock)


@contextmanager
def _sole_starter(path: Path) -> Iterator[None]:
    """Keep two starts from each taking the other's new socket for a stale one."""
    # The directory itself is locked: a lock file would be one more thing to clean up.
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _clear(path: Path, program: str) -> None:
    """Remove a socket nobody answers on; raises StartError for anything else in the way."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartError(f"{path} exists and is no socket; move it away or configure another path")
    if _answers(path):
        raise StartError(
            f"another {program} is running: it answers on {path}; stop it first, "
            "or give this one a path of its own"
        )
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 -- the name of the call says it
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True  # its queue of connections is full; without a server there is none
    return True


def _start_error(path: Path, exc: OSError) -> StartError:
    match exc.errno:
        case errno.ENOENT:
            reason = f"the directory {path.parent} does not exist; create it (RuntimeDirectory=)"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            reason = "not permitted; check owner and mode of the directory, and the socket's group"
        case _:  # among them the 107 bytes a socket's path can have: an OSError without number
            reason = exc.strerror or str(exc)
    return StartError(f"cannot listen on {path}: {reason}")
