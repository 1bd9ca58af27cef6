"""Who speaks to a controld: programs over the API, gateways and PCs over their links."""

# ruff: noqa: ANN401 -- JSON bodies are what a test says they are

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controld.codes import new_id
from rclib.runtime.clock import wall_ms
from rclib.wire.control import AuditHead, Body, SessionRelays
from rclib.wire.control_http import EnrolRequest
from rclib.wire.identity import enrol_statement, link_statement, sign
from rclib.wire.ids import EndpointId, IdentityKey, MessageId, Nonce, Signature, TunnelKey
from rclib.wire.link import (
    LINK_VERSION,
    Ack,
    LinkChallenge,
    LinkFrame,
    LinkHello,
    LinkRefused,
    LinkWelcome,
    Message,
    decode_link,
    encode_link,
)

F = TypeVar("F", bound=LinkFrame)
M = TypeVar("M", bound=Body)
ADMIN_PASSWORD = "correct horse battery"
BAD_SIGNATURE = Signature(bytes(64))


@dataclass
class Answer:
    """An API answer."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass
class Api:
    """The API as one caller."""

    http: aiohttp.ClientSession
    base: str
    token: str = ""

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers: dict[str, str] = more.pop("headers", {})
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}"} | headers
        if body is not None:
            more["json"] = body
        url = f"{self.base}/api/v1{path}"
        async with self.http.request(method, url, headers=headers, **more) as response:
            is_json = response.content_type.endswith("json")
            return Answer(
                response.status,
                await response.json(content_type=None) if is_json else None,
                response.headers,
            )

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self(method, path, body)
        assert answer.status in {200, 201, 204}, answer
        return answer.body

    def as_(self, token: str) -> Api:
        return Api(self.http, self.base, token)

    async def login(self, name: str, password: str) -> Api:
        answer = await Api(self.http, self.base).ok(
            "POST", "/login", {"name": name, "password": password}
        )
        return self.as_(answer["token"])

    async def first_login(self, name: str, one_time: str, password: str = ADMIN_PASSWORD) -> Api:
        """Log in with a one-time password and replace it."""
        first = await self.login(name, one_time)
        await first.ok("POST", "/password", {"old": one_time, "new": password})
        return await self.login(name, password)

    async def new_user(self, name: str, role: str) -> tuple[str, Api]:
        created = await self.ok("POST", "/users", {"name": name, "role": role})
        return created["user"], await self.first_login(name, created["password"])


@dataclass
class End:
    """A gateway or a technician's PC with its identity."""

    api: Api
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    endpoint: EndpointId = EndpointId("")  # noqa: RUF009 -- text
    tunnel_key: TunnelKey = TunnelKey(bytes(range(32)))  # noqa: RUF009 -- bytes
    heard: deque[Message] = field(default_factory=deque)
    """Messages that came while something else was waited for."""
    socket: aiohttp.ClientWebSocketResponse | None = None

    @property
    def public(self) -> IdentityKey:
        return IdentityKey(self.key.public_key().public_bytes_raw())

    def request(self, code: str, **changes: Any) -> dict[str, Any]:
        signature = sign(self.key, enrol_statement(code, self.public))
        fields = {"code": code, "identity_key": self.public, "signature": signature} | changes
        body: dict[str, Any] = _builtins(EnrolRequest(**fields))
        return body

    async def enrol(self, code: str) -> End:
        answer = await self.api.ok("POST", "/enrol", self.request(code))
        self.endpoint = EndpointId(answer["endpoint"])
        return self

    async def dial(self) -> LinkChallenge:
        url = f"{self.api.base}/api/v1/link"
        self.socket = await self.api.http.ws_connect(url)
        return await self.frame(LinkChallenge)

    async def hello(self, nonce: Nonce, **changes: Any) -> None:
        statement = link_statement(self.endpoint, "localhost", nonce)
        fields: dict[str, Any] = {
            "version": LINK_VERSION,
            "endpoint": self.endpoint,
            "software": "test",
            "signature": sign(self.key, statement),
        } | changes
        await self.put(LinkHello(**fields))

    async def link(self) -> LinkWelcome:
        challenge = await self.dial()
        await self.hello(challenge.nonce)
        return await self.frame(LinkWelcome)

    async def put(self, frame: LinkFrame) -> None:
        assert self.socket is not None
        await self.socket.send_str(encode_link(frame).decode())

    async def frame(self, kind: type[F]) -> F:
        """The next frame, which has to be of this kind."""
        frame = await self.any_frame()
        assert isinstance(frame, kind), frame
        return frame

    async def any_frame(self) -> LinkFrame:
        assert self.socket is not None
        message = await self.socket.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return decode_link(message.data)

    async def closed(self) -> bool:
        assert self.socket is not None
        message = await self.socket.receive(timeout=10)
        return message.type in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
        }

    async def refused(self) -> LinkRefused:
        frame = await self.frame(LinkRefused)
        assert await self.closed()
        return frame

    async def say(self, body: Body, message: MessageId | None = None) -> MessageId:
        """Send a message and wait until it is acknowledged."""
        message = message or MessageId(new_id("msg"))
        await self.put(Message(message, wall_ms(), body))
        while not isinstance(frame := await self.any_frame(), Ack) or frame.id != message:
            if isinstance(frame, Message):
                self.heard.append(frame)
        return message

    async def put_body(self, body: Body) -> None:
        await self.put(Message(MessageId(new_id("msg")), wall_ms(), body))

    async def expect(self, kind: type[M]) -> M:
        """The next message; acknowledged. Acks of our own messages are passed over."""
        message = await self.message()
        assert isinstance(message.body, kind), message.body
        await self.put(Ack(message.id))
        return message.body

    async def message(self) -> Message:
        """The next message, unacknowledged; what comes by the way is passed over."""
        while isinstance((message := await self._message()).body, AuditHead | SessionRelays):
            await self.put(Ack(message.id))
        return message

    async def head(self) -> AuditHead:
        """The next head of the record that a gateway is given; nothing may come before."""
        message = await self._message()
        assert isinstance(message, Message), message
        assert isinstance(message.body, AuditHead), message.body
        await self.put(Ack(message.id))
        return message.body

    async def relays(self) -> SessionRelays:
        """What the relays are, before the gateway has answered; nothing else may come before."""
        message = await self._message()
        assert isinstance(message.body, SessionRelays), message.body
        await self.put(Ack(message.id))
        return message.body

    async def _message(self) -> Message:
        if self.heard:
            return self.heard.popleft()
        while isinstance(frame := await self.any_frame(), Ack):
            pass
        assert isinstance(frame, Message), frame
        return frame

    async def hang_up(self) -> None:
        self.heard.clear()
        if self.socket is not None:
            await self.socket.close()


def _builtins(struct: Any) -> Any:
    return msgspec.to_builtins(struct)
