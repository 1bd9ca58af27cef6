"""A passkey authenticator in software (WebAuthn §6): ES256, no attestation, a counter."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT: Final = 0x01
VERIFIED: Final = 0x04
ATTESTED: Final = 0x40


def spell(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unspell(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One passkey at one site, in the hands of somebody who may or may not show their finger."""

    origin: str
    flags: int = PRESENT | VERIFIED
    count: int = 0
    credential_id: bytes = field(default_factory=lambda: os.urandom(16))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: str, **client: Any) -> str:  # noqa: ANN401 -- JSON
        """What navigator.credentials.create would return, as JSON."""
        asked = json.loads(options)
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id
        data = self._data(asked["rp"]["id"], ATTESTED) + attested + cose
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        collected = self._client("webauthn.create", asked["challenge"], client)
        return self._credential(clientDataJSON=spell(collected), attestationObject=spell(statement))

    def get(self, options: str, **client: Any) -> str:  # noqa: ANN401 -- JSON
        """What navigator.credentials.get would return, as JSON."""
        asked = json.loads(options)
        self.count += 1
        data = self._data(asked["rpId"], 0)
        collected = self._client("webauthn.get", asked["challenge"], client)
        signed = data + hashlib.sha256(collected).digest()
        return self._credential(
            clientDataJSON=spell(collected),
            authenticatorData=spell(data),
            signature=spell(self.key.sign(signed, ec.ECDSA(SHA256()))),
        )

    def _data(self, site: str, more: int) -> bytes:
        flags = bytes([self.flags | more])
        return hashlib.sha256(site.encode()).digest() + flags + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, changes: dict[str, Any]) -> bytes:
        fields = {"type": kind, "challenge": challenge, "origin": self.origin} | changes
        return json.dumps(fields).encode()

    def _credential(self, **response: str) -> str:
        name = spell(self.credential_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
