"""What an Ed25519 identity signs, and how a person compares two identities.

Each signature is over a domain and length-prefixed fields, so that a signature made for one
purpose can never be presented for another and no two field lists share one encoding.
"""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rclib.wire.ids import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from rclib.wire.ids import (
        ChainHash,
        EndpointId,
        IdentityKey,
        Nonce,
        RelayId,
        SessionId,
        TunnelKey,
    )
    from rclib.wire.session import Target

FINGERPRINT_BYTES = 20


class Side(StrEnum):
    """The two ends of a session. The technician initiates, the gateway answers."""

    TECHNICIAN = "technician"
    GATEWAY = "gateway"

    @property
    def other(self) -> Side:
        return Side.GATEWAY if self is Side.TECHNICIAN else Side.TECHNICIAN


class Domain(StrEnum):
    """What a signature is for. A retired name is never used again."""

    ENROL = "remoteconnect/1 enrol"
    LINK = "remoteconnect/1 control link"
    RELAY = "remoteconnect/1 relay leg"
    OFFER_KEY = "remoteconnect/1 technician's tunnel key"
    ANSWER_KEY = "remoteconnect/1 gateway's tunnel key"
    RELEASE = "remoteconnect/1 plant's release"
    JOURNAL = "remoteconnect/1 gateway's journal"
    PATH_SIGNAL = "remoteconnect/1 path signal"
    CHECK_PHRASE = "remoteconnect/1 check phrase"
    AUDIT_HEAD = "remoteconnect/1 head of the record"


def statement(domain: Domain, *fields: bytes) -> bytes:
    """The bytes to sign: the domain and each field behind its u32 length."""
    return b"".join(
        len(part).to_bytes(4, "big") + part for part in (domain.value.encode(), *fields)
    )


def sign(key: Ed25519PrivateKey, signed: bytes) -> Signature:
    return Signature(key.sign(signed))


def is_signed_by(key: IdentityKey, signed: bytes, signature: Signature) -> bool:
    """True only if `signature` over `signed` was made by the holder of `key`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(key: IdentityKey) -> str:
    """Eight groups of four base32 characters (160 bits of SHA-256), to read out on the phone."""
    digest = hashlib.sha256(b"remoteconnect identity" + key).digest()[:FINGERPRINT_BYTES]
    text = base64.b32encode(digest).decode()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def enrol_statement(code: str, key: IdentityKey) -> bytes:
    """Proof that the enrolling end holds the key it wants enrolled."""
    return statement(Domain.ENROL, code.encode(), key)


def link_statement(endpoint: EndpointId, host: str, nonce: Nonce) -> bytes:
    """Proof of identity on a control link; `host` keeps it from serving at another controld."""
    return statement(Domain.LINK, endpoint.encode(), host.encode(), nonce)


def token_digest(token: str) -> bytes:
    """SHA-256 of an admission's text: what the proof of possession is bound to."""
    return hashlib.sha256(token.encode("ascii")).digest()


def relay_statement(relay: RelayId, nonce: Nonce, token_digest: bytes) -> bytes:
    """Proof of possession towards one relay, for one token (SHA-256), once."""
    return statement(Domain.RELAY, relay.encode(), nonce, token_digest)


def offer_key_statement(session: SessionId, tunnel_key: TunnelKey) -> bytes:
    """The technician's end vouches for its fresh WireGuard key."""
    return statement(Domain.OFFER_KEY, session.encode(), tunnel_key)


def answer_key_statement(
    session: SessionId, tunnel_key: TunnelKey, peer: IdentityKey, peer_tunnel_key: TunnelKey
) -> bytes:
    """The gateway vouches for its fresh WireGuard key, towards this one peer and its key."""
    return statement(Domain.ANSWER_KEY, session.encode(), tunnel_key, peer, peer_tunnel_key)


def release_statement(
    session: SessionId,
    technician: IdentityKey,
    targets: Sequence[Target],
    until_ms: int,
    by: str,
) -> bytes:
    """The plant lets this one technician's computer reach exactly these targets until then.

    `until_ms` is the absolute end in the control plane's time, as the offer's `not_after_ms`.
    """
    released = (
        statement(
            Domain.RELEASE,
            target.device.encode(),
            target.address.encode(),
            target.protocol.value.encode(),
            b"" if target.port is None else target.port.to_bytes(2, "big"),
        )
        for target in targets
    )
    end = until_ms.to_bytes(8, "big")
    return statement(Domain.RELEASE, session.encode(), technician, end, by.encode(), *released)


def signal_statement(session: SessionId, side: Side, payload: bytes) -> bytes:
    """One end's word to the other about their path."""
    return statement(Domain.PATH_SIGNAL, session.encode(), side.value.encode(), payload)


def audit_head_statement(seq: int, at_ms: int, chain_hash: ChainHash) -> bytes:
    """Controld vouches that row `seq` of its record has this hash, and so has all before it."""
    return statement(
        Domain.AUDIT_HEAD, seq.to_bytes(8, "big"), at_ms.to_bytes(8, "big"), chain_hash
    )
