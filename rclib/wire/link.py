"""Control link: how it is opened, and how each message crosses it (docs/protocol/control.md).

A WebSocket with one JSON text message per frame. LinkChallenge → LinkHello → LinkWelcome or
LinkRefused, then Message and Ack both ways: a Message is repeated until it is acknowledged, the
receiver handles each id once. What the messages say is in `rclib.wire.control`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct, decode_json
from rclib.wire.control import Body, Url
from rclib.wire.errors import DecodeError
from rclib.wire.ids import EndpointId, MessageId, Nonce, Signature
from rclib.wire.session import Milliseconds, Name, RegionName, Text

LINK_VERSION: Final = 1
MAX_LINK_BYTES: Final = 65_535
PING_S: Final = 25
DEAD_S: Final = 45


class LinkRefusal(StrEnum):
    """Why controld does not take a link."""

    VERSION = "version"
    UNKNOWN = "unknown"
    SIGNATURE = "signature"
    REPLACED = "replaced"
    PROTOCOL = "protocol"
    SHUTTING_DOWN = "shutting_down"


class LinkChallenge(Struct, frozen=True, tag="challenge"):
    """First message, from controld."""

    version: int
    nonce: Nonce
    server_ms: Milliseconds


class LinkHello(Struct, frozen=True, tag="hello"):
    """The end's answer: who it is, proven over the nonce."""

    version: int
    endpoint: EndpointId
    software: Annotated[str, msgspec.Meta(max_length=80)]
    signature: Signature
    """Over `identity.link_statement`."""


class Region(Struct, frozen=True):
    """One region of relays, to be measured by a gateway."""

    name: RegionName
    url: Url
    """Of one of its relays."""


class LinkWelcome(Struct, frozen=True, tag="welcome"):
    """The link is open."""

    name: Name
    audit_seq: int = 0
    """Highest audit sequence number stored from this endpoint: the spool goes on behind it."""
    regions: Annotated[tuple[Region, ...], msgspec.Meta(max_length=16)] = ()
    """For a gateway, where there are several: how far is it to each?"""


class LinkRefused(Struct, frozen=True, tag="refused"):
    """The link is not, or no longer, wanted."""

    reason: LinkRefusal
    detail: Text = ""


class Message(Struct, frozen=True, tag="message"):
    """At least once: repeated on every new link until acknowledged."""

    id: MessageId
    sent_ms: Milliseconds
    """The sender's clock at this transmission."""
    body: Body


class Ack(Struct, frozen=True, tag="ack"):
    """The message was handled, and what had to be stored is stored."""

    id: MessageId


LinkFrame = LinkChallenge | LinkHello | LinkWelcome | LinkRefused | Message | Ack

_frame_decoder: Final[msgspec.json.Decoder[LinkFrame]] = msgspec.json.Decoder(LinkFrame)


def decode_link(data: bytes | str) -> LinkFrame:
    """Read one link frame; raises DecodeError and nothing else."""
    if len(data) > MAX_LINK_BYTES:
        raise DecodeError("link frame", f"more than {MAX_LINK_BYTES} bytes")
    return decode_json(_frame_decoder, "link frame", data)


def encode_link(frame: LinkFrame) -> bytes:
    return msgspec.json.encode(frame)
