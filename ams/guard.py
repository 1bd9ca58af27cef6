"""What every request passes before a handler sees it, and the page for what went wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from rclib.pages import guard

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ams.website import Website

REQUEST_S: Final = 30.0
"""Longer than the slowest answer of rcd (`ams.rcd_client`)."""
LIVE_PATH: Final = "/live"
PAGE_ERROR: Final = "page_error"
_OWN_WORDS: Final = frozenset({400, 404, 405, 408, 413, 415})


def middleware(site: Website) -> Middleware:
    """Return the one middleware of the page."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await _checked(site, request, handler)
        except web.HTTPException as exc:
            if exc.status < web.HTTPBadRequest.status_code:
                _finish(site, request, exc)
                raise
            response = site.error_page(request, exc.status, _words_for(exc.status))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            site.log.exception(PAGE_ERROR, path=request.path)
            response = site.error_page(request, 500, "error_500")
        _finish(site, request, response)
        return response

    return guarded


async def _checked(site: Website, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        await guard.check(request, site.hosts)
    except guard.ForeignHostError as exc:
        return site.error_page(request, 403, "error_host", host=exc)
    except guard.ForeignFormError:
        return site.error_page(request, 403, "error_form")
    if request.path == LIVE_PATH:
        return await handler(request)
    async with asyncio.timeout(REQUEST_S):
        return await handler(request)


def _finish(site: Website, request: web.Request, response: web.StreamResponse) -> None:
    site.metrics.requests.labels(code=str(response.status)).inc()
    if not response.prepared:
        guard.add_headers(request, response)


def _words_for(status: int) -> str:
    if status in _OWN_WORDS:
        return f"error_{status}"
    return "error_form" if status == web.HTTPForbidden.status_code else "error_500"
