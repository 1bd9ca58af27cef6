"""The way of every API request through aiohttp: from the socket to the handler and back.

Every error leaves as problem+json (RFC 9457) with a `code` for programs and a `detail` for
people; nothing of a fault inside reaches the peer.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from controld.api import MAX_BODY_BYTES, REQUEST_S, STATUS, admit
from controld.errors import DomainError, ForbiddenError, UnauthenticatedError
from controld.store import StoreUnavailableError
from rclib.pages.guard import is_own_host
from rclib.runtime.logs import RateLimitedLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from controld.api import Route
    from controld.services import Services

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_PATH: Final = "/api/"
MAX_HEADERS: Final = 64
REQUEST_FAILED = "request_failed"


class Problem(msgspec.Struct, frozen=True):
    """The body of every error."""

    title: str
    status: int
    code: str
    detail: str
    type: str = "about:blank"


def add_routes(app: web.Application, services: Services, routes: Iterable[Route]) -> None:
    log = RateLimitedLogger(services.log)
    for route in routes:
        app.router.add_route(route.method, route.path, _handler(route, services))
    app.middlewares.append(_answering(services, log))
    app.middlewares.append(_guarding(services.config.own_hosts))


def _handler(route: Route, services: Services) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(REQUEST_S):
            call = await admit(route.needs, services, request, _bearer_token)
            answer = None if route.is_long else await route.handle(call)
        if route.is_long:
            answer = await route.handle(call)
        if isinstance(answer, web.StreamResponse):
            return answer
        if answer is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        response = _json(msgspec.json.encode(answer), route.status)
        revision = getattr(answer, "revision", None)
        if revision is not None:
            response.headers["ETag"] = f'"{revision}"'
        return response

    return handle


def _bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("not_signed_in", "log in, and send the token as Bearer token")
    return token.strip()


def _answering(
    services: Services, log: RateLimitedLogger
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Make the middleware through which every answer leaves, errors included."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except DomainError as exc:
            response = _problem(STATUS[type(exc)], exc.code, exc.detail)
        except StoreUnavailableError as exc:
            log.warning(REQUEST_FAILED, once_per="store", path=request.path, reason=exc)
            detail = "nothing can be stored at the moment, so nothing was done; try again later"
            response = _problem(HTTPStatus.SERVICE_UNAVAILABLE, "store_unavailable", detail)
        except TimeoutError:
            detail = f"the request took longer than {REQUEST_S} s"
            response = _problem(HTTPStatus.REQUEST_TIMEOUT, "too_slow", detail)
            response.force_close()
        except web.HTTPException as exc:
            response = _of_framework(exc)
        except Exception as exc:
            log.error(  # noqa: TRY400 -- not stdlib's logger
                REQUEST_FAILED, once_per=type(exc).__name__, path=request.path, exc_info=exc
            )
            detail = "a fault inside the control plane; its log says more"
            response = _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)
        services.metrics.requests.labels(str(response.status)).inc()
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return answer


def _guarding(hosts: frozenset[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Make the middleware that turns away what another site's page, or no client, would send."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if len(request.headers) > MAX_HEADERS:
            raise web.HTTPRequestHeaderFieldsTooLarge
        if request.path.startswith(API_PATH):  # the portal has an answer of its own
            if not is_own_host(request, hosts):
                raise ForbiddenError("host_refused", "this control plane has another name")
            origin = request.headers.get("Origin")
            if origin is not None and urlsplit(origin).netloc != request.host:
                raise ForbiddenError("origin_refused", "pages of other sites may not use this")
        return await handler(request)

    return guarded


def _of_framework(exc: web.HTTPException) -> web.Response:
    status = HTTPStatus(exc.status)
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take that method",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"a request has at most {MAX_HEADERS} headers",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"a body has at most {MAX_BODY_BYTES} bytes",
    }
    code = status.name.lower()
    response = _problem(status, code, details.get(status, status.phrase))
    if "Allow" in exc.headers:
        response.headers["Allow"] = exc.headers["Allow"]
    return response


def _problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    body = msgspec.json.encode(Problem(status.phrase, status.value, code, detail))
    return web.Response(body=body, status=status, content_type="application/problem+json")


def _json(body: bytes, status: HTTPStatus) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
