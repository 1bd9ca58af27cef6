"""What every request passes before a handler sees it: deadline, host, origin, headers, errors."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ams.website import Website

MAX_BODY_BYTES: Final = 16 * 1024
REQUEST_S: Final = 30.0
"""Longer than the slowest answer of rcd (`ams.rcd_client`)."""
BODY_S: Final = 10.0
LIVE_PATH: Final = "/live"
PAGE_ERROR: Final = "page_error"
_OWN_WORDS: Final = frozenset({400, 404, 405, 413, 415})

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC_CACHE: Final = "public, max-age=31536000, immutable"
"""Their addresses carry a digest of their content."""


def middleware(site: Website) -> Middleware:
    """Return the one middleware of the page."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await _checked(site, request, handler)
        except web.HTTPException as exc:
            if exc.status < web.HTTPBadRequest.status_code:
                _finish(site, request, exc)
                raise
            response = site.error_page(request, exc.status, exc.text or "")
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            site.log.exception(PAGE_ERROR, path=request.path)
            response = site.error_page(request, web.HTTPInternalServerError.status_code)
        _finish(site, request, response)
        return response

    return guard


async def _checked(site: Website, request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_own_host(request, site.hosts):
        return site.error_page(request, 403, "", "error_host", host=request.host[:80])
    if request.method == "POST":
        origin = request.headers.get("Origin")
        if origin is None or urlsplit(origin).netloc != request.host:
            return site.error_page(request, 403, "", "error_form")
        # aiohttp itself waits for a body for ever.
        try:
            async with asyncio.timeout(BODY_S):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
    if request.path == LIVE_PATH:
        return await handler(request)
    async with asyncio.timeout(REQUEST_S):
        return await handler(request)


def is_own_host(request: web.Request, names: frozenset[str]) -> bool:
    """Against DNS rebinding: a name that is not ours is somebody else's page."""
    host = urlsplit(f"//{request.host}").hostname or ""
    if host in names:
        return True
    own = request.transport.get_extra_info("sockname") if request.transport else None
    try:
        return own is not None and ipaddress.ip_address(host) == ipaddress.ip_address(own[0])
    except ValueError:
        return False


def _finish(site: Website, request: web.Request, response: web.StreamResponse) -> None:
    site.metrics.requests.labels(code=str(response.status)).inc()
    if response.prepared:
        return
    response.headers.update(HEADERS)
    if request.path.startswith("/static/") and response.status == web.HTTPOk.status_code:
        response.headers["Cache-Control"] = _STATIC_CACHE


def words_for(status: int) -> str:
    """The key of the sentence for an HTTP error."""
    if status in _OWN_WORDS:
        return f"error_{status}"
    return "error_form" if status == web.HTTPForbidden.status_code else "error_500"
