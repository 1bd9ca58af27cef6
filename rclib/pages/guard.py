"""What every request for a page passes: whose name it uses, where it comes from, how long it lasts.

Fetch metadata and SameSite cookies would do in new browsers; these checks do in all of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

MAX_BODY_BYTES: Final = 16 * 1024
BODY_S: Final = 10.0
STATIC_PATH: Final = "/static/"

HEADERS: Final = {
    # The portal's Start hands over to the technician's client in a hidden frame.
    "Content-Security-Policy": "default-src 'self'; frame-src remoteconnect:; base-uri 'none'; "
    "object-src 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC_CACHE: Final = "public, max-age=31536000, immutable"
"""Their addresses carry a digest of their content."""


class ForeignHostError(Exception):
    """The request uses a name that is not this page's: DNS rebinding, or a forgotten setting."""


class ForeignFormError(Exception):
    """A form that another site made, or none at all."""


async def check(request: web.Request, hosts: AbstractSet[str]) -> None:
    """Raises ForeignHostError, ForeignFormError, HTTPRequestTimeout for a body that never ends."""
    if not is_own_host(request, hosts):
        raise ForeignHostError(request.host[:80])
    if request.method in {"GET", "HEAD"}:
        return
    origin = request.headers.get("Origin")
    if origin is None or urlsplit(origin).netloc != request.host:
        raise ForeignFormError(str(origin)[:80])
    # aiohttp itself waits for a body for ever.
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def is_own_host(request: web.Request, hosts: AbstractSet[str]) -> bool:
    """Whether the page is asked for by one of its names or by the address it was reached at."""
    host = urlsplit(f"//{request.host}").hostname or ""
    if host in hosts:
        return True
    own = request.transport.get_extra_info("sockname") if request.transport else None
    try:
        return own is not None and ipaddress.ip_address(host) == ipaddress.ip_address(own[0])
    except ValueError:
        return False


async def fields(request: web.Request) -> dict[str, str]:
    """Read an ordinary form; of a repeated field the last counts. Raises HTTPException."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """To be called for every answer that has not left yet."""
    response.headers.update(HEADERS)
    if request.path.startswith(STATIC_PATH) and response.status == web.HTTPOk.status_code:
        response.headers["Cache-Control"] = _STATIC_CACHE
