"""The bytes of four relay protocols, as far as a load generator needs them.

WebSocket (RFC 6455) for relayd and the reference relay, TURN (RFC 8656) over TLS for coturn, and
DERP for Tailscale's derper.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final

import nacl.public

from bench.relay_load import Framed
from rclib.tunnel.tcp_options import tune
from rclib.wire import relay

if TYPE_CHECKING:
    from pathlib import Path

    from rclib.wire.relay import Frame

CHUNK_BYTES: Final = 16_000
"""About one TLS record, as the ends of a tunnel send it."""
_PATIENCE_S: Final = 10.0


def connect(port: int, ca: Path) -> ssl.SSLSocket:
    """Open a checked TLS connection to a relay on this machine, as the ends of a tunnel do."""
    tls = ssl.create_default_context(cafile=str(ca))
    plain = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
    tune(plain)
    return tls.wrap_socket(plain, server_hostname="127.0.0.1")


def read_exactly(sock: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError(f"the relay closed after {data!r}")
        data += part
    return data


def packets(size: int) -> list[bytes]:
    """As many packets as fit a chunk; the first byte is WireGuard's of transport data."""
    count = max(1, min(CHUNK_BYTES // size, relay.MAX_SEGMENTS))
    return [b"\x04" + os.urandom(size - 1) for _ in range(count)]


# WebSocket.


_LONG: Final = 126
"""Says that two bytes of length follow."""


def upgrade(sock: ssl.SSLSocket, path: str) -> None:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += read_exactly(sock, 1)
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        raise ConnectionError(answer.decode(errors="replace"))


def ws_frame(payload: bytes, *, masked: bool) -> bytes:
    """One binary message in one frame."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    head = (
        bytes([0x82, mask_bit | size])
        if size < _LONG
        else struct.pack("!BBH", 0x82, mask_bit | _LONG, size)
    )
    if not masked:
        return head + payload
    key = secrets.token_bytes(4)
    stream = int.from_bytes(key * (size // 4 + 1), "big") >> (8 * (4 - size % 4))
    return head + key + (int.from_bytes(payload, "big") ^ stream).to_bytes(size, "big")


def read_message(sock: ssl.SSLSocket) -> bytes:
    _, size = read_exactly(sock, 2)
    if size == _LONG:
        (size,) = struct.unpack("!H", read_exactly(sock, 2))
    return read_exactly(sock, size)


def send_frame(sock: ssl.SSLSocket, frame: Frame) -> None:
    sock.sendall(ws_frame(relay.encode(frame), masked=True))


def read_frame(sock: ssl.SSLSocket) -> Frame:
    return relay.decode(read_message(sock))


def data_message(size: int) -> bytes:
    """One packet of relayd's format, as a client sends it."""
    return ws_frame(relay.data_header(size) + b"\x04" + os.urandom(size - 1), masked=True)


def burst_chunk(size: int) -> Framed:
    """Relayd's format: all packets of a chunk in one message."""
    each = packets(size)
    message = relay.data_header(size) + b"".join(each)
    return Framed(
        ws_frame(message, masked=True), size * len(each), len(ws_frame(message, masked=False))
    )


def message_chunk(size: int) -> Framed:
    """The obvious format: a message for each packet."""
    each = packets(size)
    return Framed(
        b"".join(ws_frame(packet, masked=True) for packet in each),
        size * len(each),
        sum(len(ws_frame(packet, masked=False)) for packet in each),
    )


def stream_chunk(size: int) -> Framed:
    """No format at all, for relays of bytes."""
    data = b"".join(packets(size))
    return Framed(data, len(data), len(data))


# TURN over TLS.

_COOKIE: Final = 0x2112A442
_ALLOCATE, _CHANNEL_BIND, _REFRESH = 0x003, 0x009, 0x004
_XOR_PEER, _XOR_RELAYED, _TRANSPORT, _CHANNEL = 0x0012, 0x0016, 0x0019, 0x000C
_UDP: Final = bytes([17, 0, 0, 0])
CHANNEL: Final = 0x4000


def _turn(
    sock: ssl.SSLSocket, method: int, attributes: list[tuple[int, bytes]]
) -> dict[int, bytes]:
    body = b"".join(
        struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
        for kind, value in attributes
    )
    sock.sendall(struct.pack("!HHI", method, len(body), _COOKIE) + secrets.token_bytes(12) + body)
    kind, size, _ = struct.unpack("!HHI", read_exactly(sock, 8))
    answer = read_exactly(sock, 12 + size)[12:]
    if kind != method | 0x100:
        raise ConnectionError(f"TURN refused method {method:#x}: {answer!r}")
    found: dict[int, bytes] = {}
    while answer:
        name, length = struct.unpack("!HH", answer[:4])
        found[name] = answer[4 : 4 + length]
        answer = answer[4 + length + -length % 4 :]
    return found


def turn_allocate(sock: ssl.SSLSocket) -> bytes:
    """Allocate a relayed address; returns its XORed form, which is good for any transaction."""
    return _turn(sock, _ALLOCATE, [(_TRANSPORT, _UDP)])[_XOR_RELAYED]


def turn_bind(sock: ssl.SSLSocket, peer: bytes) -> None:
    channel = struct.pack("!HH", CHANNEL, 0)
    _turn(sock, _CHANNEL_BIND, [(_CHANNEL, channel), (_XOR_PEER, peer)])


def channel_chunk(size: int, count: int | None = None) -> Framed:
    """TURN's format; `count` None: as many packets as fit a chunk."""
    each = packets(size)[:count]
    data = b"".join(
        struct.pack("!HH", CHANNEL, size) + packet + bytes(-size % 4) for packet in each
    )
    return Framed(data, size * len(each), len(data))


# DERP.

_SERVER_KEY, _CLIENT_INFO, _SERVER_INFO, _SEND, _RECV = 1, 2, 3, 4, 5
_DERP_MAGIC: Final = "DERP🔑".encode()
_DERP_HEAD: Final = 5
KEY_BYTES: Final = 32


def derp_join(sock: ssl.SSLSocket) -> bytes:
    """Log in with a fresh key; returns its public half, which is this client's address."""
    sock.sendall(
        b"GET /derp HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += read_exactly(sock, 1)
    kind, body = _read_derp(sock)
    if kind != _SERVER_KEY or not body.startswith(_DERP_MAGIC):
        raise ConnectionError(f"derper greeted with {kind}: {body!r}")
    server = nacl.public.PublicKey(body[len(_DERP_MAGIC) :][:KEY_BYTES])
    key = nacl.public.PrivateKey.generate()
    sealed = nacl.public.Box(key, server).encrypt(json.dumps({"version": 2}).encode())
    public = bytes(key.public_key)
    sock.sendall(_derp(_CLIENT_INFO, public + bytes(sealed)))
    kind, body = _read_derp(sock)
    if kind != _SERVER_INFO:
        raise ConnectionError(f"derper answered the login with {kind}")
    return public


def derp_chunk(size: int, to: bytes, count: int) -> Framed:
    each = packets(size)[:count]
    data = b"".join(_derp(_SEND, to + packet) for packet in each)
    return Framed(data, size * len(each), len(data))


def _derp(kind: int, body: bytes) -> bytes:
    return struct.pack("!BI", kind, len(body)) + body


def _read_derp(sock: ssl.SSLSocket) -> tuple[int, bytes]:
    kind, size = struct.unpack("!BI", read_exactly(sock, _DERP_HEAD))
    return kind, read_exactly(sock, size)
