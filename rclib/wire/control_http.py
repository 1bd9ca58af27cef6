"""What an end asks the control plane over HTTPS, without a link (docs/protocol/control.md)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from rclib.wire.codec import Struct
from rclib.wire.control import StunServers, Url
from rclib.wire.ids import EndpointId, IdentityKey, Signature
from rclib.wire.session import Milliseconds, Name

ENROL_PATH: Final = "/api/v1/enrol"
SERVERS_PATH: Final = "/api/v1/servers"
MAX_SERVERS: Final = 32
EnrolmentCode = Annotated[str, msgspec.Meta(min_length=8, max_length=80)]


class EnrolRequest(Struct, frozen=True):
    """POST ENROL_PATH, once in the life of an endpoint.

    The code says who the end will be; the request cannot choose it.
    """

    code: EnrolmentCode
    identity_key: IdentityKey
    signature: Signature
    """Over `identity.enrol_statement`."""


class EnrolResponse(Struct, frozen=True):
    """Who the end is from now on."""

    endpoint: EndpointId
    name: Name
    organisation: Name
    link_host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    """What a LinkHello's signature names as host."""


class ServerList(Struct, frozen=True):
    """GET SERVERS_PATH, for anyone: what a plant's firewall has to let out, and the time of day."""

    now_ms: Milliseconds
    relays: Annotated[tuple[Url, ...], msgspec.Meta(max_length=MAX_SERVERS)] = ()
    stun: StunServers = ()
