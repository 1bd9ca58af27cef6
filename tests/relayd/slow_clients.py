"""Clients that hold on to a relay without ever becoming a leg: `-m tests.relayd.slow_clients`.

A process of its own, so that what it costs is not measured as the relay's. Arguments: port, CA
file, how many. Prints, as JSON by kind, for how many seconds each connection was left open.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from tests.relayd.raw_websocket import UPGRADE

AT_ONCE = 40
"""Handshakes under way."""
GIVE_UP_S = 60
DRIP_S = 0.5


class Kind(StrEnum):
    """What such a client does."""

    MUTE = "mute"  # not even TLS
    SILENT = "silent"  # TLS, and no request
    DRIP = "drip"  # a request, byte by byte
    UPGRADED = "upgraded"  # a WebSocket, and no HELLO


async def hold(kind: Kind, port: int, tls: ssl.SSLContext, gate: asyncio.Semaphore) -> float:
    """Return for how long the relay let it."""
    async with gate:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=None if kind is Kind.MUTE else tls
        )
        if kind is Kind.UPGRADED:
            writer.write(UPGRADE + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
    dripping = asyncio.create_task(drip(writer)) if kind is Kind.DRIP else None
    with suppress(OSError):
        async with asyncio.timeout(GIVE_UP_S):
            while await reader.read(4096):
                pass
    if dripping is not None:
        dripping.cancel()
    writer.close()
    return round(time.monotonic() - began, 2)


async def drip(writer: asyncio.StreamWriter) -> None:
    for byte in UPGRADE:
        writer.write(bytes((byte,)))
        await asyncio.sleep(DRIP_S)


async def main(port: int, ca: Path, count: int) -> None:
    tls = ssl.create_default_context(cafile=str(ca))
    gate = asyncio.Semaphore(AT_ONCE)
    kinds = list(Kind)
    held: dict[Kind, list[float]] = {kind: [] for kind in kinds}

    async def one(kind: Kind) -> None:
        held[kind].append(await hold(kind, port, tls, gate))

    async with asyncio.TaskGroup() as clients:
        for number in range(count):
            clients.create_task(one(kinds[number % len(kinds)]))
    sys.stdout.write(json.dumps(held))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
