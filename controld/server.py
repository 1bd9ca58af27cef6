"""A running controld: its parts are built, then published, and taken down in reverse."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from controld import (
    api_audit,
    api_endpoints,
    api_events,
    api_factors,
    api_flows,
    api_login,
    api_openapi,
    api_organisations,
    api_passkeys,
    api_policies,
    api_proofs,
    api_providers,
    api_servers,
    api_sessions,
    api_tokens,
    api_users,
    store_audit,
)
from controld.admissions import Admissions
from controld.api import MAX_BODY_BYTES, REQUEST_S, Route
from controld.api_server import add_routes
from controld.audit_notary import SIGNING_FAILED, Notary, load_log_key, public_half
from controld.audit_syslog import Forwarder, Target
from controld.coordinator import Coordinator
from controld.fleet import Alone
from controld.fleet_shared import SharedFleet, open_fleet
from controld.link_hub import Hub
from controld.link_server import LinkServer
from controld.metrics import Metrics
from controld.oidc_client import Providers
from controld.passwords import Passwords, cost_of
from controld.portal import (
    account_pages,
    gateway_pages,
    organisation_pages,
    people_pages,
    plan_pages,
    policy_pages,
    provider_pages,
    record_pages,
    session_pages,
    sign_in_pages,
    token_pages,
)
from controld.portal.frame import Frame, Page
from controld.recorder import Recorder
from controld.revocations import Revoker
from controld.sealing import Sealer
from controld.services import Services
from controld.session_keeper import Keeper
from controld.store import Store, StoreUnavailableError
from controld.store_url import PostgresServer
from controld.sweeper import Sweeper
from rclib.runtime.clock import ForwardClock, wall_ms
from rclib.runtime.errors import ConfigError, StartError, bind_error
from rclib.runtime.net import endpoint_of
from rclib.runtime.tlsfiles import add_authority, client_context, server_context
from rclib.wire.link import LinkRefusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from controld.config import ControldConfig, SyslogConfig
    from controld.fleet import Fleet
    from rclib.runtime.net import Endpoint
    from rclib.runtime.service import Context

PAGES: Final[tuple[Page, ...]] = (
    *gateway_pages.PAGES,
    *policy_pages.PAGES,
    *session_pages.PAGES,
    *plan_pages.PAGES,
    *people_pages.PAGES,
    *organisation_pages.PAGES,
    *record_pages.PAGES,
    *account_pages.PAGES,
    *provider_pages.PAGES,
    *sign_in_pages.PAGES,
    *token_pages.PAGES,
)
LINK_PATH: Final = "/api/v1/link"
_ROUTES: Final[tuple[Route, ...]] = (
    *api_login.ROUTES,
    *api_factors.ROUTES,
    *api_passkeys.ROUTES,
    *api_providers.ROUTES,
    *api_organisations.ROUTES,
    *api_users.ROUTES,
    *api_endpoints.ROUTES,
    *api_policies.ROUTES,
    *api_sessions.ROUTES,
    *api_servers.ROUTES,
    *api_audit.ROUTES,
    *api_proofs.ROUTES,
    *api_flows.ROUTES,
    *api_events.ROUTES,
    *api_tokens.ROUTES,
)
ROUTES: Final = (*_ROUTES, api_openapi.route_of(_ROUTES))


class Server:
    """What `open_server` yields."""

    def __init__(
        self,
        services: Services,
        sweeper: Sweeper,
        revoker: Revoker,
        endpoint: Endpoint,
        app: web.Application,
    ) -> None:
        self.app = app
        self.services = services
        self.sweeper = sweeper
        self.revoker = revoker
        self.endpoint = endpoint


async def run(config: ControldConfig, ctx: Context) -> None:
    """Run until asked to stop."""
    clock = ForwardClock()
    async with open_server(config, ctx, now_ms=clock, catch_up=clock.catch_up) as server:
        await ctx.serve_status(config.status)
        tasks = [
            ctx.tasks.create_task(server.sweeper.run(ctx.healthy, ctx.alive)),
            ctx.tasks.create_task(server.services.notary.run()),
            ctx.tasks.create_task(server.revoker.run()),
        ]
        if config.syslog is not None:
            target = _syslog_target(config.syslog, ctx)
            fleet = server.services.fleet
            forwarder = Forwarder(
                server.services.store, target, config.host, ctx.log, lambda: fleet.is_first
            )
            tasks.append(ctx.tasks.create_task(forwarder.run()))
        ctx.ready(f"serving on {server.endpoint}")
        await ctx.stopping.wait()
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def open_server(
    config: ControldConfig,
    ctx: Context,
    *,
    now_ms: Callable[[], int] = wall_ms,
    catch_up: Callable[[int], None] = lambda _: None,
    passwords: Passwords | None = None,
) -> AsyncIterator[Server]:
    """Build and publish; on leaving: tell the links, stop listening, close the store.

    Sweeping and revoking are left to the caller. Where several controlds serve one database, the
    time on that one's clock goes to `catch_up`. Raises StartError, ConfigError.
    """
    base = ctx.config_dir or Path()
    async with AsyncExitStack() as undo:
        tls = None if config.insecure_http else _tls(config, base)
        admissions = Admissions(config.token_key, config.relays, config.stun_servers())
        log_key = load_log_key(config.audit_key)
        database = config.database_in(base)
        store = await Store.open(database)
        undo.push_async_callback(store.close)
        _check_clock(await store.read(store_audit.dated), now_ms(), config.times.clock_back_s)
        providers = Providers(config.providers, base, now_ms, ctx.log)
        undo.push_async_callback(providers.close)
        recorder = Recorder(store)
        undo.push_async_callback(recorder.close)
        sealer = Sealer(config.audit_key.reveal())
        fleet: Fleet
        if isinstance(database, PostgresServer):
            family = _family(config.host, public_half(log_key), admissions.key_id)
            fleet = SharedFleet(store, sealer, family, now_ms, catch_up, ctx.log)
            hub = fleet.hub
            await undo.enter_async_context(open_fleet(fleet, database, ctx))
        else:
            hub = Hub(now_ms, ctx.log)
            fleet = Alone(hub)
        if len(admissions.regions) > 1:
            hub.regions = admissions.regions
        metrics = Metrics(ctx.metrics)
        notary = Notary(store, hub, log_key, now_ms, ctx.log)
        undo.push_async_callback(_sign_last, notary, ctx)
        revoker = Revoker(store, admissions, _trust(config, base), now_ms, ctx.log)
        keeper = Keeper(store, hub, admissions, config.times, now_ms, revoker.wake)
        coordinator = Coordinator(store, fleet, admissions, config.times, now_ms, notary, keeper)
        services = Services(
            config=config,
            store=store,
            recorder=recorder,
            hub=hub,
            fleet=fleet,
            admissions=admissions,
            coordinator=coordinator,
            keeper=keeper,
            notary=notary,
            passwords=passwords or Passwords(cost_of(config.passwords)),
            sealer=sealer,
            providers=providers,
            metrics=metrics,
            now_ms=now_ms,
            log=ctx.log,
            is_stopping=ctx.stopping.is_set,
        )
        sweeper = Sweeper(store, hub, keeper, config.times, now_ms, metrics, ctx.log)
        if fleet.is_alone:  # what others are about to do is not ours to end
            await sweeper.recover()
        app = _application(services)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=REQUEST_S,  # also the deadline of a request's headers
            lingering_time=1,  # for the rest of a body nobody wants
            shutdown_timeout=3,
        )
        await runner.setup()
        undo.push_async_callback(runner.cleanup)
        endpoint = await _listen(runner, config, tls)
        services.public_port = config.public_port or endpoint.port
        undo.callback(hub.close_all, LinkRefusal.SHUTTING_DOWN, "controld is restarting")
        yield Server(services, sweeper, revoker, endpoint, app)


def _family(host: str, *keys: bytes | str) -> bytes:
    """What all controlds of one database have in common: what they sign, seal and are called."""
    return hashlib.sha256(repr((host, *keys)).encode()).digest()


def _check_clock(newest_ms: int, now_ms: int, tolerance_s: int) -> None:
    """A clock that lost its time would bring back what is over: tickets, codes, logins."""
    if newest_ms - now_ms <= tolerance_s * 1000:
        return
    now, newest = (datetime.fromtimestamp(ms // 1000, UTC) for ms in (now_ms, newest_ms))
    raise StartError(
        f"this machine's clock says {now:%Y-%m-%d %H:%M}, but the record goes to "
        f"{newest:%Y-%m-%d %H:%M} (UTC). Set the clock "
        "(timedatectl), then start again; if it is right now and was wrong before, start once "
        "with a larger clock_back_s under [times] in controld.toml"
    )


def _syslog_target(config: SyslogConfig, ctx: Context) -> Target:
    try:
        ca_file = config.ca_file and (ctx.config_dir or Path()) / config.ca_file
        return Target(config.target, ca_file)
    except (ValueError, OSError) as exc:
        raise ConfigError(str(exc), key="syslog") from None


async def _sign_last(notary: Notary, ctx: Context) -> None:
    """Once nobody writes any more: the gateways get this head after the next start."""
    try:
        await notary.look(is_last=True)
    except StoreUnavailableError as exc:
        ctx.log.error(SIGNING_FAILED, reason=str(exc))  # noqa: TRY400 -- not stdlib's logger


def _application(services: Services) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    add_routes(app, services, ROUTES)
    app.router.add_get(LINK_PATH, LinkServer(services).serve)
    app.add_routes(Frame(services, PAGES).routes())
    return app


def _tls(config: ControldConfig, base: Path) -> ssl.SSLContext:
    return server_context(base / config.tls.certificate, base / config.tls.key)


def _trust(config: ControldConfig, base: Path) -> ssl.SSLContext:
    """Whom it believes to be a relay."""
    tls, ca = client_context(None), base / config.tls.ca
    if ca.exists():
        add_authority(tls, ca)
    return tls


async def _listen(
    runner: web.AppRunner, config: ControldConfig, tls: ssl.SSLContext | None
) -> Endpoint:
    try:
        await web.TCPSite(runner, *config.listen.sockaddr, ssl_context=tls).start()
    except OSError as exc:
        raise bind_error(exc, f"TCP {config.listen}") from exc
    return endpoint_of(runner.addresses[0])
