"""What systemd is told: sd_notify(3), spoken directly.

The protocol is one datagram of VARIABLE=value lines to the Unix socket that
$NOTIFY_SOCKET names; a leading @ stands for Linux' abstract namespace.
"""

from __future__ import annotations

import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"


class Notifier:
    """Sends state changes to the service manager; without one, does nothing."""

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address

    @classmethod
    def from_environment(cls) -> Notifier:
        """Take the address the service manager left for this process."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    @property
    def wanted(self) -> bool:
        """Whether somebody listens for notifications."""
        return bool(self._address)

    def send(self, *assignments: str) -> None:
        """Send the assignments as one datagram; raises OSError if the manager is out of reach.

        Never blocks: a manager that does not read costs a lost notification, not the loop.
        """
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # noqa: FBT003 -- the name of the call says it
            sock.sendto("\n".join(assignments).encode(), self._address)


def status(text: str) -> str:
    """Return the assignment for free text; a line break in it could forge another one."""
    return f"STATUS={' '.join(text.split())}"
