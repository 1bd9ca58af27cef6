"""A tunnel end as one writes it first: a packet per read, a message per packet, a task per way.

The standard library's event loop and DatagramProtocol, and aiohttp's WebSocket; its socket has the
system's buffer. It speaks relayd's protocol, each packet as a burst of one. What `rclib.tunnel`
does is measured against it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.runtime.clock import boottime
from rclib.tunnel.enrolment import Identity
from rclib.tunnel.relay_leg import RelayLegCore
from rclib.tunnel.udp_pump import drops_of
from rclib.wire import relay
from rclib.wire.bursts import split

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from rclib.wire.control import RelayLeg

QUEUE: Final = 1000
"""Packets that wait for the WebSocket."""


class Loopback(asyncio.DatagramProtocol):
    """WireGuard's packets, one by one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self.dropped = 0

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self.dropped += 1


async def to_relay(loopback: Loopback, socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        packet = await loopback.queue.get()
        await socket.send_bytes(relay.data_header(len(packet)) + packet)


async def from_relay(
    socket: aiohttp.ClientWebSocketResponse, core: RelayLegCore, udp: asyncio.DatagramTransport
) -> None:
    async for message in socket:
        frame = relay.decode(message.data)
        if isinstance(frame, relay.Data):
            for packet in split(frame.segment, frame.packets):
                udp.sendto(bytes(packet))
        elif answer := core.received(frame):
            await socket.send_bytes(answer)


def run_obvious_end(
    pipe: Connection, secret: bytes, leg: RelayLeg, ca: Path, wireguard: int
) -> None:
    """Carry packets between the loopback socket and the relay until the pipe says stop."""
    asyncio.run(_run(pipe, secret, leg, ca, wireguard))


async def _run(pipe: Connection, secret: bytes, leg: RelayLeg, ca: Path, wireguard: int) -> None:
    key = serialization.load_pem_private_key(secret, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("the key of an end is Ed25519")
    core = RelayLegCore(leg.relay, leg.token, Identity(key).sign)
    loop = asyncio.get_running_loop()
    udp, loopback = await loop.create_datagram_endpoint(
        Loopback, local_addr=("127.0.0.1", 0), remote_addr=("127.0.0.1", wireguard)
    )
    tls = ssl.create_default_context(cafile=str(ca))
    async with aiohttp.ClientSession() as http, http.ws_connect(leg.url, ssl=tls) as socket:
        await socket.send_bytes(core.connected(boottime()))
        reading = asyncio.create_task(from_relay(socket, core, udp))
        writing = asyncio.create_task(to_relay(loopback, socket))
        pipe.send(udp.get_extra_info("sockname")[1])
        await loop.run_in_executor(None, pipe.recv)
        pipe.send((drops_of(udp.get_extra_info("socket")), 0, loopback.dropped))
        for task in (reading, writing):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    udp.close()
