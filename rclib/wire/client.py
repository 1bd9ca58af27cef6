"""Local API of rcc: connect, status and disconnect (docs/protocol/local.md).

One JSON object per line on a Unix socket that only the technician's own account can open. A request
is answered by any number of ClientStatus, then by ClientDone or ClientFailed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.ids import SessionId
from rclib.wire.session import (
    EndReason,
    IpText,
    Name,
    PathKind,
    PathStatus,
    Port,
    Protocol,
    RefusalReason,
)


class ClientState(StrEnum):
    """Where the technician's end of a session is."""

    REDEEMING = "redeeming"
    WAITING_FOR_PLANT = "waiting_for_plant"
    OPENING = "opening"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ENDED = "ended"


class GetClientStatus(Struct, frozen=True, tag="get_client_status"):
    """What the sessions are doing: a ClientStatus for each."""


class Connect(Struct, frozen=True, tag="connect"):
    """Follow a link: a ClientStatus at each change until the session has ended.

    Closing the connection, or sending anything, ends the session.
    """

    link: Annotated[str, msgspec.Meta(max_length=600)]


class Disconnect(Struct, frozen=True, tag="disconnect"):
    """End a session; answered when everything is removed."""

    session: SessionId | None = None
    """None: the only one there is."""


ClientRequest = GetClientStatus | Connect | Disconnect


class Reachable(Struct, frozen=True):
    """One released (device, protocol, port), as it is reached from this computer."""

    name: Name
    use: IpText
    """The address for the technician's tools: the device's real one, or its virtual one where the
    real one is in use here. Empty before the tunnel is open."""
    address: IpText
    """The real one, in the plant."""
    protocol: Protocol
    port: Port | None = None


class ClientStatus(Struct, frozen=True, tag="client_status"):
    """One session."""

    session: SessionId
    state: ClientState
    path: PathKind
    name: str = ""
    gateway: str = ""
    gateway_fingerprint: str = ""
    targets: tuple[Reachable, ...] = ()
    interface: str = ""
    path_details: PathStatus | None = None
    connected_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    end_reason: EndReason | None = None
    refusal: RefusalReason | None = None
    detail: str = ""
    check_phrase: tuple[str, ...] = ()
    """While the plant decides: its page shows these words too, and people compare them."""


class ClientDone(Struct, frozen=True, tag="client_done"):
    """The request is carried out."""


class ClientFailed(Struct, frozen=True, tag="client_failed"):
    """The request was not carried out."""

    detail: Annotated[str, msgspec.Meta(max_length=2000)]


ClientReply = ClientStatus | ClientDone | ClientFailed

_request_decoder: Final = msgspec.json.Decoder(ClientRequest)
_reply_decoder: Final[msgspec.json.Decoder[ClientReply]] = msgspec.json.Decoder(ClientReply)


def decode_client_request(line: bytes) -> ClientRequest:
    request: ClientRequest = decode_json(_request_decoder, "request", line)
    return request


def decode_client_reply(line: bytes) -> ClientReply:
    return decode_json(_reply_decoder, "reply", line)


def encode(message: ClientRequest | ClientReply) -> bytes:
    return msgspec.json.encode(message)
