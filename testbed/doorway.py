"""A TCP port of a host, reachable from this machine's own loopback: for browsers and API clients.

Outside a thread accepts on 127.0.0.1 and connects to a Unix socket in the bed's directory; inside
`testbed.tools.door` takes over from there. Only file names cross the namespaces.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

from testbed.tools.door import splice

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.host import Host


class Doorway:
    """Open while the bed is; `port` is the one on this machine."""

    def __init__(self, host: Host, address: str, port: int, directory: Path) -> None:
        self._inside = directory / f"door-{host.name}-{port}.sock"
        self._process = host.tool("door", str(self._inside), address, str(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="doorway", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                outside, _ = self._listener.accept()
            except OSError:
                return  # closed
            inside = socket.socket(socket.AF_UNIX)
            try:
                inside.connect(str(self._inside))
            except OSError:
                outside.close()
                inside.close()
                continue
            splice(outside, inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown wakes the thread that close alone would leave waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self._process.stop()
