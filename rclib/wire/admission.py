"""Admission tokens: who may open which leg at which relay, until when.

A compact JWS (RFC 7515) signed with Ed25519 (RFC 9864) by the control plane. The relay verifies
it offline and then asks for proof of possession of the key it names, so that a stolen token
alone opens nothing.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, Annotated, Final, NewType

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
ISSUED_AHEAD_S: Final = 60
"""How far a token's issue time may lie in the relay's future (clock skew)."""

KeyId = NewType("KeyId", str)


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


class TokenRefusedError(Exception):
    """The token does not admit; `reason` is what the leg is told."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        super().__init__(f"{reason.name}: {detail}")
        self.reason = reason
        self.detail = detail


def mint(admission: Admission, key: OKPKey, key_id: KeyId) -> str:
    """Sign one admission with the control plane's private key."""
    header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key_id}
    payload = msgspec.json.encode(admission)
    return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


def verify(token: str, keys: Mapping[KeyId, OKPKey], relay: RelayId, now: float) -> Admission:
    """Check signature, audience and time (`now` in UTC seconds); raises TokenRefusedError."""
    admission = _read_signed(token, keys)
    if admission.aud != relay:
        raise TokenRefusedError(
            CloseReason.WRONG_RELAY, f"the token is for {admission.aud}, this is {relay}"
        )
    if admission.iat > now + ISSUED_AHEAD_S:
        raise TokenRefusedError(
            CloseReason.TOKEN_INVALID,
            "issued in the future; check the clocks of the relay and the control plane",
        )
    if admission.exp <= now:
        raise TokenRefusedError(CloseReason.TOKEN_EXPIRED, "expired; fetch a fresh token")
    return admission


def token_digest(token: str) -> bytes:
    """SHA-256 of the token's text: what the proof of possession is bound to."""
    return hashlib.sha256(token.encode("ascii")).digest()


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


def _read_signed(token: str, keys: Mapping[KeyId, OKPKey]) -> Admission:
    if len(token) > MAX_FIRST_MESSAGE_BYTES:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, "too long")
    try:
        unverified = jws.extract_compact(token.encode("ascii"))
        header = unverified.protected
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, "not a compact JWS") from None
    if not isinstance(header, dict) or header.get("typ") != TOKEN_TYPE:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, f"not of the type {TOKEN_TYPE}")
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
        return msgspec.json.decode(signed.payload, type=Admission)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise TokenRefusedError(CloseReason.TOKEN_INVALID, f"claims: {exc}") from None
