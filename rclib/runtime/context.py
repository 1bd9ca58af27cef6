"""What a running service is given: log, metrics, tasks, and a way to say how it is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rclib.runtime import notify
from rclib.runtime.clock import boottime
from rclib.runtime.health import STALE_AFTER_S, Health
from rclib.runtime.http_status import StatusConfig, serve_status
from rclib.runtime.logs import Logger, RateLimitedLogger, get_logger
from rclib.runtime.metrics import new_registry
from rclib.runtime.version import suite_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from rclib.runtime.net import Endpoint

SERVICE_READY = "service_ready"
NOTIFICATION_FAILED = "notification_failed"


@dataclass(slots=True)
class Context:
    """The surroundings of one running service."""

    log: Logger
    metrics: CollectorRegistry
    tasks: asyncio.TaskGroup
    """Owner of every long-lived task: an exception in one ends the process. Those still
    running when the service has returned are cancelled."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once when the process is asked to end."""
    config_dir: Path | None = None
    """Where relative file names of the configuration start; None: the working directory."""
    notifier: notify.Notifier = field(default_factory=lambda: notify.Notifier(None))
    health: Health = field(default_factory=lambda: Health(STALE_AFTER_S))
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)
    """Undone in reverse order after the service has returned and its tasks have ended."""
    _faults: RateLimitedLogger = field(init=False)

    def __post_init__(self) -> None:
        self._faults = RateLimitedLogger(self.log)

    def ready(self, status: str) -> None:
        """Announce that the service does its work: call it after everything is bound."""
        self.health.ready = True
        self.health.text = status
        self.log.info(SERVICE_READY, status=status)
        self._notify(notify.READY, notify.status(status))

    def status(self, text: str) -> None:
        """Change the line that `systemctl status` and /healthz show."""
        self.health.text = text
        self._notify(notify.status(text))

    def healthy(self) -> None:
        """Feed the watchdog and /healthz.

        Called by the one task whose life matters, after it did its work: a timer that
        calls this beside a hanging task would hide what the watchdog is there to find.
        """
        self.health.reported_at = boottime()
        self.alive()

    def alive(self) -> None:
        """Feed the watchdog alone: the work is hindered, and no restart would be the cure.

        /healthz goes on to say for how long there has been none.
        """
        self._notify(notify.WATCHDOG)

    async def serve_status(self, config: StatusConfig) -> Endpoint | None:
        """Open /metrics and /healthz until the service has ended; raises StartError."""
        server = await serve_status(config, self.metrics, self.health)
        if server is None:
            return None
        self.cleanup.push_async_callback(server.close)
        return server.endpoint

    def announce_stopping(self) -> None:
        """Set `stopping` and tell systemd and /healthz; a second call changes nothing."""
        self.stopping.set()
        if not self.health.stopping:  # the service may have set the event by itself
            self.health.stopping = True
            self._notify(notify.STOPPING)

    def _notify(self, *assignments: str) -> None:
        try:
            self.notifier.send(*assignments)
        except OSError as exc:
            # The manager decides what a missing message means; the work goes on.
            self._faults.warning(NOTIFICATION_FAILED, once_per=type(exc).__name__, reason=exc)


@asynccontextmanager
async def open_context(
    name: str,
    *,
    config_dir: Path | None = None,
    notifier: notify.Notifier | None = None,
    stale_after_s: float = STALE_AFTER_S,
) -> AsyncIterator[Context]:
    """Surround a service: `run_service` does, and so does a test of one.

    Leaving it cancels the tasks that are left, then undoes `cleanup` in reverse.
    An exception of a task arrives as an ExceptionGroup.
    """
    async with AsyncExitStack() as cleanup:
        try:
            async with asyncio.TaskGroup() as tasks:
                yield Context(
                    log=get_logger(name),
                    metrics=new_registry(name, suite_version()),
                    tasks=tasks,
                    config_dir=config_dir,
                    notifier=notifier if notifier is not None else notify.Notifier(None),
                    health=Health(stale_after_s=stale_after_s),
                    cleanup=cleanup,
                )
                raise _ServiceReturned  # a task group cancels what is left only for an exception
        except* _ServiceReturned:
            pass


class _ServiceReturned(Exception):  # noqa: N818 -- the regular end, no error
    """Ends the task group of a service that has returned."""
