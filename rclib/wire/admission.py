"""Admission tokens: who may open which leg at which relay, until when.

A compact JWS (RFC 7515) signed with Ed25519 (RFC 9864) by the control plane. The relay verifies
it offline and then asks for proof of possession of the key it names, so that a stolen token
alone opens nothing.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Annotated, Final, NewType, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from rclib.wire.codec import Struct
from rclib.wire.errors import DecodeError
from rclib.wire.identity import Side
from rclib.wire.ids import IdentityKey, RelayId, SessionId
from rclib.wire.relay import MAX_FIRST_MESSAGE_BYTES, CloseReason

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM: Final = "Ed25519"
TOKEN_TYPE: Final = "rc-relay+jwt"  # noqa: S105 - a media type, not a secret
REVOCATION_TYPE: Final = "rc-revocation+jwt"
ISSUED_AHEAD_S: Final = 60
"""How far a token's issue time may lie in the relay's future (clock skew)."""

KeyId = NewType("KeyId", str)
C = TypeVar("C", "Admission", "Revocation")


class Admission(Struct, frozen=True):
    """The claims of a token (RFC 7519 names where there are any)."""

    sub: SessionId
    side: Side
    key: IdentityKey
    """The Ed25519 key whose possession the leg proves."""
    aud: RelayId
    iat: Annotated[int, msgspec.Meta(gt=0)]
    exp: Annotated[int, msgspec.Meta(gt=0)]
    """UTC seconds; the leg's lease ends here unless it is renewed."""


class Revocation(Struct, frozen=True):
    """The claims of a revocation: until `exp`, the relay admits no leg of this session."""

    sub: SessionId
    aud: RelayId
    iat: Annotated[int, msgspec.Meta(gt=0)]
    exp: Annotated[int, msgspec.Meta(gt=0)]
    """UTC seconds; not before the session's last admission runs out."""


class TokenRefusedError(Exception):
    """The token does not admit; `reason` is what the leg is told."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        super().__init__(f"{reason.name}: {detail}")
        self.reason = reason
        self.detail = detail


def mint(claims: Admission | Revocation, key: OKPKey, key_id: KeyId) -> str:
    """Sign one admission or revocation with the control plane's private key."""
    kind = TOKEN_TYPE if isinstance(claims, Admission) else REVOCATION_TYPE
    header = {"alg": ALGORITHM, "typ": kind, "kid": key_id}
    payload = msgspec.json.encode(claims)
    return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


def verify(token: str, keys: Mapping[KeyId, OKPKey], relay: RelayId, now: float) -> Admission:
    """Check signature, audience and time (`now` in UTC seconds); raises TokenRefusedError."""
    return _timely(_read_signed(token, keys, TOKEN_TYPE, Admission), relay, now)


def verify_revocation(
    token: str, keys: Mapping[KeyId, OKPKey], relay: RelayId, now: float
) -> Revocation:
    """Check as `verify` does; raises TokenRefusedError."""
    return _timely(_read_signed(token, keys, REVOCATION_TYPE, Revocation), relay, now)


def _timely(claims: C, relay: RelayId, now: float) -> C:
    if claims.aud != relay:
        raise TokenRefusedError(
            CloseReason.WRONG_RELAY, f"the token is for {claims.aud}, this is {relay}"
        )
    if claims.iat > now + ISSUED_AHEAD_S:
        raise TokenRefusedError(
            CloseReason.TOKEN_INVALID,
            "issued in the future; check the clocks of the relay and the control plane",
        )
    if claims.exp <= now:
        raise TokenRefusedError(CloseReason.TOKEN_EXPIRED, "expired; fetch a fresh token")
    return claims


def key_id_of(key: OKPKey) -> KeyId:
    """RFC 7638 thumbprint, shortened to what tells a handful of keys apart."""
    return KeyId(key.thumbprint()[:16])


def load_key(pem: bytes) -> OKPKey:
    """A private (control plane) or public (relay) Ed25519 key from PEM; raises DecodeError."""
    try:
        key = OKPKey.import_key(pem)
    except (JoseError, ValueError, TypeError) as exc:
        raise DecodeError("token key", f"not an Ed25519 key in PEM: {exc}") from None
    if key.curve_name != ALGORITHM:
        raise DecodeError("token key", f"{key.curve_name} instead of {ALGORITHM}")
    return key


def _read_signed(token: str, keys: Mapping[KeyId, OKPKey], token_type: str, claims: type[C]) -> C:
    if len(token) > MAX_FIRST_MESSAGE_BYTES:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, "too long")
    try:
        unverified = jws.extract_compact(token.encode("ascii"))
        header = unverified.protected
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, "not a compact JWS") from None
    if not isinstance(header, dict) or header.get("typ") != token_type:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, f"not of the type {token_type}")
    key_id = header.get("kid")
    key = keys.get(KeyId(key_id)) if isinstance(key_id, str) else None
    if key is None:
        raise TokenRefusedError(
            CloseReason.TOKEN_INVALID,
            "signed with a key this relay does not know; compare token_keys in its configuration",
        )
    try:
        signed = jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError, binascii.Error):
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, "wrong signature") from None
    try:
        return msgspec.json.decode(signed.payload, type=claims)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, f"claims: {exc}") from None
