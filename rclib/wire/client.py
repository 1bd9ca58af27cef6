"""Local API of rcc's session process: status and disconnect (docs/protocol/local.md).

One JSON object per line on a Unix socket that only the technician's own account can open.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.ids import SessionId
from rclib.wire.session import EndReason, PathKind, PathStatus, RefusalReason, Target


class ClientState(StrEnum):
    """Where the technician's end of a session is."""

    REDEEMING = "redeeming"
    WAITING_FOR_PLANT = "waiting_for_plant"
    OPENING = "opening"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ENDED = "ended"


class GetClientStatus(Struct, frozen=True, tag="get_client_status"):
    """What the session is doing."""


class Disconnect(Struct, frozen=True, tag="disconnect"):
    """End the session; answered when everything is removed."""


ClientRequest = GetClientStatus | Disconnect


class ClientStatus(Struct, frozen=True, tag="client_status"):
    """The one session of this process."""

    session: SessionId
    state: ClientState
    path: PathKind
    name: str = ""
    gateway: str = ""
    gateway_fingerprint: str = ""
    targets: tuple[Target, ...] = ()
    interface: str = ""
    path_details: PathStatus | None = None
    connected_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    end_reason: EndReason | None = None
    refusal: RefusalReason | None = None
    detail: str = ""


_request_decoder: Final = msgspec.json.Decoder(ClientRequest)
_status_decoder: Final = msgspec.json.Decoder(ClientStatus)


def decode_client_request(line: bytes) -> ClientRequest:
    request: ClientRequest = decode_json(_request_decoder, "request", line)
    return request


def decode_client_status(line: bytes) -> ClientStatus:
    return decode_json(_status_decoder, "status", line)


def encode(message: ClientRequest | ClientStatus) -> bytes:
    return msgspec.json.encode(message)
