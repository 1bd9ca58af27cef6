"""The link a browser hands over: remoteconnect://HOST[:PORT]/connect with session and ticket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from rclib.wire.errors import DecodeError
from rclib.wire.ids import SessionId

SCHEME: Final = "remoteconnect"
MAX_LINK_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True)
class DeepLink:
    """Where the session was started, which one, and the one-time ticket for it."""

    server: str
    """https://HOST[:PORT]; followed only if it is the server this client is enrolled at."""
    session: SessionId
    ticket: str


def parse_deep_link(text: str) -> DeepLink:
    """Read a link; raises DecodeError."""
    text = text.strip()
    if len(text) > MAX_LINK_CHARACTERS:
        raise DecodeError("link", f"longer than {MAX_LINK_CHARACTERS} characters")
    try:
        parts = urlsplit(text)
        server = f"https://{parts.netloc}"
        fields = parse_qs(parts.query, strict_parsing=True, max_num_fields=8)
    except ValueError as exc:
        raise DecodeError("link", str(exc)) from None
    if parts.scheme != SCHEME or not parts.hostname or parts.path != "/connect":
        raise DecodeError("link", f"does not look like {SCHEME}://HOST/connect?session=…&ticket=…")
    if "@" in parts.netloc:
        raise DecodeError("link", "holds a user name")
    for name in ("session", "ticket"):
        if len(fields.get(name, ())) != 1:
            raise DecodeError(f"link.{name}", "missing, or there more than once")
    try:
        session = msgspec.convert(fields["session"][0], SessionId)
    except msgspec.ValidationError as exc:
        raise DecodeError("link.session", str(exc)) from None
    return DeepLink(server, session, fields["ticket"][0])
