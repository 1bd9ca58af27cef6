"""What can go wrong around a process, as opposed to inside its protocol.

- OperatorError: the person who started the program can put it right. Shown as
  one line, without a traceback; the program exits with status 2.
    - ConfigError: a configuration file says something that cannot be used.
    - SecretError: a secret is missing, unreadable or readable by everybody.
    - StartError: the surroundings do not allow a start (port busy, program missing).
    - LocalUnavailable: the program behind a local socket does not answer.
- LocalProtocolError: the peer on a local socket broke the line protocol.
- PeerGone: the peer on a local socket went away, or reads too slowly.
- FileTooLargeError: a file is larger than its reader is willing to hold.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class OperatorError(Exception):
    """Something the operator can put right; the message says what, why and what to do."""


class ConfigError(OperatorError):
    """A configuration cannot be used.

    `key` is the dotted key at fault, or None where the file as a whole is.
    """

    def __init__(self, reason: str, *, file: Path | None = None, key: str | None = None) -> None:
        self.file = file
        self.key = key
        self.reason = reason
        super().__init__(f"{file}: {reason}" if file is not None else reason)


class SecretError(OperatorError):
    """A secret is missing, empty, unreadable, or open to every user of the machine."""


class StartError(OperatorError):
    """The program cannot start here: port busy, program missing, privilege missing."""


class LocalUnavailable(OperatorError):  # noqa: N818 -- states a condition of the other program
    """Nobody answers behind a local socket."""


class LocalProtocolError(Exception):
    """The peer on a local socket sent something that is not a line within the limit."""


class PeerGone(ConnectionError):  # noqa: N818 -- named like the connection errors it joins
    """The peer on a local socket left, or did not read what it was sent in time."""


class FileTooLargeError(ValueError):
    """A file holds more than its reader accepts."""


def bind_error(exc: OSError, what: str) -> StartError:
    """Turn a failed bind into advice; `what` names protocol and address: "UDP 0.0.0.0:3478"."""
    match exc.errno:
        case errno.EADDRINUSE:
            advice = (
                "another process already uses it; find that process with `ss -tulpn`, "
                "stop it or configure another port"
            )
        case errno.EACCES | errno.EPERM:
            advice = (
                "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE "
                "(AmbientCapabilities= in the systemd unit), or configure a higher port"
            )
        case errno.EADDRNOTAVAIL:
            advice = (
                "no interface of this machine has that address; "
                "see `ip address` and correct the configuration"
            )
        case errno.EAFNOSUPPORT:
            advice = "this machine has that address family switched off; configure the other one"
        case _:
            advice = os.strerror(exc.errno) if exc.errno else str(exc)
    return StartError(f"cannot listen on {what}: {advice}")
