"""A running page: TLS, connections with deadlines, and the redirect from plain HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ams import own_certificate
from ams.check_pages import CheckPages
from ams.door_pages import DoorPages
from ams.guard import middleware
from ams.history_pages import HistoryPages
from ams.metrics import Metrics
from ams.plant_pages import PlantPages
from ams.plant_side import open_listeners
from ams.release_pages import ReleasePages
from ams.website import Website
from rclib.pages.guard import MAX_BODY_BYTES, is_own_host
from rclib.runtime.net import endpoint_of, parse_endpoint
from rclib.runtime.tlsfiles import server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from ams.config import AmsConfig
    from ams.door import Door
    from rclib.runtime.context import Context
    from rclib.runtime.net import Endpoint

_IDLE_S: Final = 15.0
"""Also the deadline of a request's headers."""
_BEAT_S: Final = 5.0
"""A quarter of WatchdogSec= in the unit."""


async def run(config: AmsConfig, ctx: Context) -> None:
    """Run until asked to stop."""
    async with open_page(config, ctx) as endpoint:
        await ctx.serve_status(config.status)
        ctx.ready(f"page on {'http' if config.plain_http else 'https'}://{endpoint}/")
        await _beat(ctx)


async def _beat(ctx: Context) -> None:
    """Wait for the end. Requests share nothing but the loop: that it turns is the sign of life."""
    while not ctx.stopping.is_set():
        ctx.healthy()
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEAT_S):
                await ctx.stopping.wait()


@asynccontextmanager
async def open_page(
    config: AmsConfig, ctx: Context, *, door: Door | None = None
) -> AsyncIterator[Endpoint]:
    """Build and publish the page; raises StartError."""
    async with AsyncExitStack() as undo:
        tls, fingerprint = _tls(config, ctx.config_dir or Path())
        site = Website(
            config, ctx.log, Metrics(ctx.metrics), page_fingerprint=fingerprint, door=door
        )
        endpoint = await _serve(undo, application(site, ctx.stopping), config.listen, tls)
        if config.redirect_listen is not None:
            await _serve(undo, _redirects(site, endpoint.port), config.redirect_listen, None)
        yield endpoint


def application(site: Website, stopping: asyncio.Event) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[middleware(site)])
    app.add_routes(
        [
            *DoorPages(site).routes(),
            *PlantPages(site, stopping).routes(),
            *ReleasePages(site).routes(),
            *HistoryPages(site).routes(),
            *CheckPages(site).routes(),
            *site.templates.routes(),
        ]
    )
    return app


def _tls(config: AmsConfig, base: Path) -> tuple[ssl.SSLContext | None, str | None]:
    """Return the TLS context and the certificate's fingerprint."""
    if config.plain_http:
        return None, None
    if config.certificate is not None and config.key is not None:
        certificate, key = base / config.certificate, base / config.key
    else:
        names = (str(parse_endpoint(config.listen).host), "localhost", *config.hosts)
        certificate, key = own_certificate.ensure(Path(config.state_dir), dict.fromkeys(names))
    return server_context(certificate, key), own_certificate.fingerprint(certificate)


async def _serve(
    undo: AsyncExitStack, app: web.Application, listen: str, tls: ssl.SSLContext | None
) -> Endpoint:
    endpoint = parse_endpoint(listen)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=_IDLE_S,
        lingering_time=1,
        shutdown_timeout=1,
    )
    await runner.setup()
    undo.push_async_callback(runner.cleanup)
    for listener in open_listeners(endpoint):
        await web.SockSite(runner, listener, ssl_context=tls).start()
    return endpoint_of(runner.addresses[0])


def _redirects(site: Website, port: int) -> web.Application:
    """Lead plain HTTP to the page; everything but the address is forgotten on the way."""

    async def redirect(request: web.Request) -> web.Response:
        # Only to ourselves: a foreign Host would make this an open redirect.
        host = request.url.host or ""
        if not is_own_host(request, site.hosts):
            raise web.HTTPForbidden
        shown = f"[{host}]" if ":" in host else host
        raise web.HTTPPermanentRedirect(f"https://{shown}{'' if port == 443 else f':{port}'}/")  # noqa: PLR2004 - HTTPS

    app = web.Application(client_max_size=1)
    app.router.add_route("*", "/{anything:.*}", redirect)
    return app
