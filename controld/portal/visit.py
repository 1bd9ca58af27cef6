"""Who is on the other side of a browser: the API's token in a cookie, and its forms' token.

The form token is derived from the login token, so that nothing has to be kept about a visit:
what voids the one (logout, another password, a disabled user) voids the other.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from controld.errors import UnauthenticatedError
from controld.store_attempts import DEVICE_MS

if TYPE_CHECKING:
    from aiohttp import web

CSRF_FIELD: Final = "csrf"
_CSRF: Final = b"remoteconnect/1 portal form"
# With this prefix a browser takes the cookie over TLS only, and from this host only.
_SECURE_COOKIE: Final = "__Host-portal"
_PLAIN_COOKIE: Final = "portal"


class Cookie:
    """The login cookie; `is_secure` False is for a portal behind a TLS terminator."""

    def __init__(self, *, is_secure: bool) -> None:
        self.is_secure = is_secure
        self._name = _SECURE_COOKIE if is_secure else _PLAIN_COOKIE

    def token(self, request: web.Request) -> str:
        """Raises UnauthenticatedError."""
        token = request.cookies.get(self._name, "")
        if not token:
            raise UnauthenticatedError("not_signed_in", "log in first")
        return token

    def set(self, response: web.StreamResponse, token: str) -> None:
        # Lax: a link in a mail leads to the page it names; forms carry a token besides.
        response.set_cookie(self._name, token, httponly=True, secure=self.is_secure, samesite="Lax")

    def device(self, request: web.Request) -> str:
        """What an earlier login in this browser was given; see `LoginRequest.device`."""
        return request.cookies.get(f"{self._name}-device", "")[:80]

    def set_device(self, response: web.StreamResponse, device: str) -> None:
        response.set_cookie(
            f"{self._name}-device",
            device,
            max_age=DEVICE_MS // 1000,
            httponly=True,
            secure=self.is_secure,
            samesite="Strict",
        )

    def way_in(self, request: web.Request) -> str:
        """What this browser keeps, sealed, while its login takes more than one request."""
        return request.cookies.get(f"{self._name}-way-in", "")[:4000]

    def set_way_in(self, response: web.StreamResponse, sealed: str) -> None:
        # Lax: the provider of identities leads the browser back here.
        response.set_cookie(
            f"{self._name}-way-in", sealed, httponly=True, secure=self.is_secure, samesite="Lax"
        )

    def remove_way_in(self, response: web.StreamResponse) -> None:
        response.del_cookie(
            f"{self._name}-way-in", httponly=True, secure=self.is_secure, samesite="Lax"
        )

    def remove(self, response: web.StreamResponse) -> None:
        response.del_cookie(self._name, httponly=True, secure=self.is_secure, samesite="Lax")


def csrf_of(token: str) -> str:
    return hmac.new(token.encode(), _CSRF, hashlib.sha256).hexdigest()


def is_own_form(token: str, given: str) -> bool:
    return hmac.compare_digest(csrf_of(token).encode(), given.encode())
