"""Identifiers and keys, one type each, so that a mix-up is a type error.

An id is a kind prefix and 16 characters of base32 (80 random bits): readable in a log,
safe in a URL, a file name and an interface alias. Ids name things; they are not secrets.
"""

from __future__ import annotations

import base64
from typing import Annotated, NewType

import msgspec

ID_RANDOM_BYTES = 10
_BODY = r"[a-z2-7]{16}\Z"

OrganisationId = NewType("OrganisationId", Annotated[str, msgspec.Meta(pattern=r"\Aorg_" + _BODY)])
UserId = NewType("UserId", Annotated[str, msgspec.Meta(pattern=r"\Ausr_" + _BODY)])
GatewayId = NewType("GatewayId", Annotated[str, msgspec.Meta(pattern=r"\Agwy_" + _BODY)])
ClientId = NewType("ClientId", Annotated[str, msgspec.Meta(pattern=r"\Acli_" + _BODY)])
"""A technician's enrolled PC."""
DeviceId = NewType("DeviceId", Annotated[str, msgspec.Meta(pattern=r"\Adev_" + _BODY)])
"""A PLC, HMI or other machine in the plant."""
SessionId = NewType("SessionId", Annotated[str, msgspec.Meta(pattern=r"\Ases_" + _BODY)])
MessageId = NewType("MessageId", Annotated[str, msgspec.Meta(pattern=r"\Amsg_" + _BODY)])
EndpointId = NewType("EndpointId", Annotated[str, msgspec.Meta(pattern=r"\A(gwy|cli)_" + _BODY)])
"""Either end of a control link: a GatewayId or a ClientId."""
TokenId = NewType("TokenId", Annotated[str, msgspec.Meta(pattern=r"\Atok_" + _BODY)])
"""A personal API token, without its secret."""
RelayId = NewType("RelayId", Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")])
"""A relay's name, chosen by the operator in the configuration."""

IdentityKey = NewType("IdentityKey", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])
"""Ed25519 public key of an enrolled gateway or client; it lives as long as the enrolment."""
TunnelKey = NewType("TunnelKey", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])
"""X25519 public key of one WireGuard interface; it lives as long as one session."""
Signature = NewType("Signature", Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)])
"""Ed25519 signature over an `rclib.wire.identity.statement`."""
ChainHash = NewType("ChainHash", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])
"""SHA-256 over the record up to one of its rows."""
Nonce = NewType("Nonce", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])


def make_id(prefix: str, random: bytes) -> str:
    """Spell an id of the kind `prefix` (`ses`, `gwy`, …) from ID_RANDOM_BYTES random bytes."""
    if len(random) != ID_RANDOM_BYTES:
        raise ValueError(f"an id takes {ID_RANDOM_BYTES} random bytes, not {len(random)}")
    return f"{prefix}_{base64.b32encode(random).decode().lower()}"
