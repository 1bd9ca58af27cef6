"""/metrics and /healthz for the operator, on loopback unless explicitly opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rclib.runtime.clock import boottime
from rclib.runtime.config import Config
from rclib.runtime.errors import bind_error
from rclib.runtime.health import HealthState
from rclib.runtime.metrics import exposition
from rclib.runtime.net import Endpoint, endpoint_of, parse_endpoint

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from rclib.runtime.health import Health


class StatusConfig(Config, frozen=True, kw_only=True):
    """Where a process shows its state: `listen` None switches that off.

    The pages need no password and name what the process does, so an address that
    other machines reach has to be allowed in so many words.
    """

    listen: str | None = None
    allow_non_loopback: bool = False

    def __post_init__(self) -> None:
        if self.listen is None:
            return
        endpoint = parse_endpoint(self.listen)
        if not endpoint.host.is_loopback and not self.allow_non_loopback:
            raise ValueError(
                f"{endpoint} can be reached from other machines, and the status pages have no "
                "password; listen on 127.0.0.1 or [::1], or set allow_non_loopback = true"
            )


class StatusServer:
    """The running status pages."""

    def __init__(self, runner: web.AppRunner, endpoint: Endpoint) -> None:
        self._runner = runner
        self.endpoint = endpoint

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        await self._runner.cleanup()


async def serve_status(
    config: StatusConfig, registry: CollectorRegistry, health: Health
) -> StatusServer | None:
    """Start the status pages, or nothing if they are off; raises StartError."""
    if config.listen is None:
        return None
    wanted = parse_endpoint(config.listen)

    async def metrics(_request: web.Request) -> web.Response:
        body, content_type = exposition(registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_request: web.Request) -> web.Response:
        state = health.state(boottime())
        return web.json_response(
            {"status": state.value, "detail": health.text},
            status=200 if state is HealthState.OK else 503,
            headers={"Cache-Control": "no-store"},
        )

    app = web.Application(client_max_size=0)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, *wanted.sockaddr).start()
    except OSError as exc:
        await runner.cleanup()
        raise bind_error(exc, f"TCP {wanted} for the status pages") from exc
    return StatusServer(runner, endpoint_of(runner.addresses[0]))
