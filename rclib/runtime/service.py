"""From the command line to a running service and back to an exit status.

1. Arguments, then configuration; what the operator can put right is one line on
   stderr and exit status 2, without a traceback.
2. The loop starts, SIGTERM and SIGINT are caught, `run` is called.
3. Whoever stops it (signal, failed task, `run` itself): `run` returns first, then
   the remaining tasks are cancelled, then `Context.cleanup` is undone.
4. If that takes longer than the deadline, everything is cancelled; if even that
   hangs, the process is ended from outside the loop.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from rclib.runtime.config import C, has_defaults, load_config, render_config
from rclib.runtime.context import Context, open_context
from rclib.runtime.errors import ConfigError, OperatorError, StartError
from rclib.runtime.health import STALE_AFTER_S
from rclib.runtime.logs import LEVELS, configure_logging
from rclib.runtime.loop import new_event_loop
from rclib.runtime.supervisor import EXIT_OK, Supervisor, tell_operator
from rclib.runtime.version import suite_version

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["Context", "Service", "StartError", "open_context", "run_service"]


@dataclass(frozen=True, slots=True)
class Service(Generic[C]):
    """What a daemon is, as far as starting and stopping it goes."""

    name: str
    description: str
    config_type: type[C]
    run: Callable[[C, Context], Coroutine[Any, Any, None]]
    """Does the work; returns when `stopping` is set and everything is shut down."""
    default_config_path: Path | None = None
    """Read without --config; may be absent if every key has a default."""
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    apply_arguments: Callable[[C, argparse.Namespace], C] | None = None
    """Returns the configuration with what the command line overrides; ValueError is shown."""
    shutdown_deadline_s: float = 10
    stale_after_s: float = STALE_AFTER_S
    """For /healthz: how long the last `healthy()` counts."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop


def run_service(service: Service[C], argv: Sequence[str] | None = None) -> int:
    """Run a service to its end and return the exit status: what each `__main__` calls."""
    arguments = _parser(service).parse_args(argv)
    faulthandler.enable()
    configure_logging(arguments.log_level)
    try:
        path = _config_path(service, arguments.config)
        config = _effective_config(service, path, arguments)
    except OperatorError as exc:
        return tell_operator(service.name, [exc])
    if arguments.check_config:
        sys.stdout.write(render_config(config))
        return EXIT_OK
    supervisor = Supervisor(
        service.name,
        lambda ctx: service.run(config, ctx),
        config_dir=path.parent if path is not None else None,
        shutdown_deadline_s=service.shutdown_deadline_s,
        stale_after_s=service.stale_after_s,
    )
    try:
        with asyncio.Runner(loop_factory=service.loop_factory) as runner:
            return runner.run(supervisor.supervise())
    finally:
        supervisor.disarm()


def _parser(service: Service[C]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=service.name, description=service.description)
    default = service.default_config_path
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration, TOML (default: {default or 'built-in values'})",
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="print the effective configuration with secrets redacted, and exit",
    )
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        default="info",
        help="least severe level to log (default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {suite_version()}")
    if service.add_arguments is not None:
        service.add_arguments(parser)
    return parser


def _config_path(service: Service[C], named: Path | None) -> Path | None:
    """Return the file to read; a default path may be missing where nothing in it is required."""
    if named is not None:
        return named
    default = service.default_config_path
    if default is not None and has_defaults(service.config_type):
        try:
            default.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return default  # it is there or may be; reading it says what is wrong
    return default


def _effective_config(service: Service[C], path: Path | None, arguments: argparse.Namespace) -> C:
    config = load_config(service.config_type, path)
    if service.apply_arguments is None:
        return config
    try:
        return service.apply_arguments(config, arguments)
    except ValueError as exc:
        raise ConfigError(f"command line: {exc}") from None
