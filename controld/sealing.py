"""Secrets that controld has to read again, sealed in the database by a key that is not in it."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12
_INFO: Final = b"remoteconnect/1 sealed columns"


class Sealer:
    """AES-256-GCM; what is sealed for one owner does not open for another."""

    def __init__(self, secret: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(secret)
        self._cipher = AESGCM(key)

    def seal(self, text: str, owner: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())

    def unseal(self, sealed: bytes, owner: str) -> str | None:
        """The text; None if it was not sealed here, or for somebody else."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner.encode()).decode()
        except (InvalidTag, ValueError):
            return None
