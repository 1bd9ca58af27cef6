"""The event loop of this platform; the only module that knows uvloop and winloop.

asyncio's own loop reads one datagram per turn and spends far more memory on each
TLS connection, so it serves only platforms for which neither of the two exists.
"""

from __future__ import annotations

import asyncio
import sys

if sys.platform == "linux":
    from uvloop import Loop as PlatformLoop
elif sys.platform == "win32":
    from winloop import Loop as PlatformLoop
else:
    from asyncio import SelectorEventLoop as PlatformLoop

__all__ = ["PlatformLoop", "new_event_loop"]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make a loop: the factory for asyncio.Runner."""
    return PlatformLoop()
