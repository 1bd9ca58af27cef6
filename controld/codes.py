"""One-time codes, tokens and ids: the module where controld's randomness comes from."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from rclib.wire.ids import ID_RANDOM_BYTES, make_id

CODE_BYTES: Final = 16  # 128 bit: nobody guesses one while it lives
TOKEN_BYTES: Final = 32
PASSWORD_BYTES: Final = 10
_GROUP: Final = 5


def new_id(prefix: str) -> str:
    return make_id(prefix, secrets.token_bytes(ID_RANDOM_BYTES))


def new_code() -> str:
    """A one-time code people may have to type: base32 in groups, no letter case."""
    return _grouped(secrets.token_bytes(CODE_BYTES))


def new_password() -> str:
    """A one-time password: 80 bit, to be changed at the first login."""
    return _grouped(secrets.token_bytes(PASSWORD_BYTES))


def new_token() -> str:
    """A bearer token or ticket, safe in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def normal_code(text: str) -> str:
    """The spelling under which a code was issued, whatever spaces, dashes and case were typed."""
    letters = "".join(text.split()).replace("-", "").lower()
    return "-".join(letters[i : i + _GROUP] for i in range(0, len(letters), _GROUP))


def digest(text: str) -> bytes:
    """What stands in the database instead of a code.

    A plain hash suffices: unlike passwords, codes have too much entropy to be searched.
    """
    return digest_of(text.encode(errors="surrogatepass"))


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _grouped(random: bytes) -> str:
    return normal_code(base64.b32encode(random).decode().rstrip("="))
