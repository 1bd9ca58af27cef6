"""One question to one STUN server, to see whether UDP gets out here and back in."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from rclib.runtime.net import Endpoint
from rclib.wire import stun
from rclib.wire.errors import DecodeError
from rclib.wire.stun import TRANSACTION_ID_BYTES, Message, MessageClass, Method
from rclib.wire.stun_attributes import XOR_MAPPED_ADDRESS

SENT_AT_S: Final = (0.0, 0.5, 1.5)
"""A lost request is no firewall."""
ANSWER_S: Final = 3.0


async def ask_stun(address: str, port: int) -> Endpoint:
    """Return how the server sees us; raises TimeoutError and OSError (ICMP said no)."""
    loop = asyncio.get_running_loop()
    request = Message(
        MessageClass.REQUEST, Method.BINDING, secrets.token_bytes(TRANSACTION_ID_BYTES)
    )
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(request), remote_addr=(address, port)
    )
    data = stun.encode(request)
    again = [loop.call_later(at_s, transport.sendto, data) for at_s in SENT_AT_S]
    try:
        async with asyncio.timeout(ANSWER_S):
            return await waiting.answer
    except TimeoutError:
        raise TimeoutError(f"no answer within {ANSWER_S:g} s") from None
    finally:
        for each in again:
            each.cancel()
        transport.abort()


class _Waiting(asyncio.DatagramProtocol):
    """Of a connected socket: the kernel drops what strangers send."""

    def __init__(self, request: Message) -> None:
        self._request = request
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Endpoint] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        try:
            message = stun.decode(data)
        except DecodeError:
            return
        mapped = message.get(XOR_MAPPED_ADDRESS)
        is_ours = message.transaction_id == self._request.transaction_id
        if is_ours and message.message_class is MessageClass.SUCCESS and mapped is not None:
            self._settle(Endpoint(mapped.host, mapped.port))

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def _settle(self, seen: Endpoint) -> None:
        if not self.answer.done():
            self.answer.set_result(seen)
