"""The obvious relay: what a good programmer writes in twenty lines with `websockets` and uvloop."""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve

channels: dict[str, list[ServerConnection]] = {}


async def relay(here: ServerConnection) -> None:
    legs = channels.setdefault(here.request.path if here.request else "", [])
    legs.append(here)
    async for message in here:
        for there in legs:
            if there is not here:
                await there.send(message)


async def main(port: int, certificate: str, key: str) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with serve(
        relay, "127.0.0.1", port, ssl=tls, compression=None, max_size=2**16, ping_interval=None
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
