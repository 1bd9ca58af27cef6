"""The life of a running service: signals, deadline, and what is left of it as an exit status.

In the order of that life: start, run, stop, and the two ways to be cut short.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rclib.runtime.context import Context, open_context
from rclib.runtime.errors import OperatorError
from rclib.runtime.logs import RateLimitedLogger, get_logger
from rclib.runtime.notify import Notifier
from rclib.runtime.redact import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # the service broke, or did not stop in time
EXIT_OPERATOR: Final = 2  # the operator has to change something; argparse uses it, too

HARD_EXIT_GRACE_S: Final = 3.0  # for cancelled tasks to end before the process is cut off

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOP_REQUESTED = "stop_requested"
STOP_FORCED = "stop_forced"
SERVICE_STOPPED = "service_stopped"
SERVICE_FAILED = "service_failed"
SHUTDOWN_OVERRAN = "shutdown_overran"
SHUTDOWN_HUNG = "shutdown_hung"
CALLBACK_FAILED = "callback_failed"


class Supervisor:
    """Runs one service once."""

    def __init__(
        self,
        name: str,
        run: Callable[[Context], Coroutine[Any, Any, None]],
        *,
        config_dir: Path | None,
        shutdown_deadline_s: float,
        stale_after_s: float,
    ) -> None:
        self._name = name
        self._run = run
        self._config_dir = config_dir
        self._deadline_s = shutdown_deadline_s
        self._stale_after_s = stale_after_s
        self._log = get_logger(name)
        self._ctx: Context | None = None
        self._supervising: asyncio.Task[Any] | None = None
        self._cut_short = False
        self._hard_exit: threading.Timer | None = None

    async def supervise(self) -> int:
        """Run the service to its end and return the exit status."""
        asyncio.get_running_loop().set_exception_handler(self._callback_reporter())
        self._supervising = asyncio.current_task()
        life = asyncio.create_task(self._live())
        try:
            with self._signals():
                await life
        except asyncio.CancelledError:
            return EXIT_FAILED
        except Exception as exc:  # noqa: BLE001 -- the last place that can report it
            mistakes = _operator_errors(exc)
            if mistakes:
                return tell_operator(self._name, mistakes)
            self._log.error(SERVICE_FAILED, exc_info=exc)
            return EXIT_FAILED
        self._log.info(SERVICE_STOPPED)
        return EXIT_FAILED if self._cut_short else EXIT_OK

    def disarm(self) -> None:
        """Call off the hard exit: the loop is closed, and nothing can hang any more."""
        if self._hard_exit is not None:
            self._hard_exit.cancel()
            self._hard_exit.join()

    async def _live(self) -> None:
        guard: asyncio.Task[None] | None = None
        try:
            async with open_context(
                self._name,
                config_dir=self._config_dir,
                notifier=Notifier.from_environment(),
                stale_after_s=self._stale_after_s,
            ) as ctx:
                self._ctx = ctx
                guard = asyncio.create_task(self._guard_shutdown(ctx))
                running = ctx.tasks.create_task(self._run(ctx))
                try:
                    # A failed task of the group cancels this wait and so starts the
                    # deadline at once, even if `run` hangs over its own cancellation.
                    await asyncio.wait({running})
                finally:
                    ctx.announce_stopping()
        finally:
            self._arm_hard_exit()  # closing the loop waits for the threads of its executor
            if guard is not None:
                guard.cancel()

    async def _guard_shutdown(self, ctx: Context) -> None:
        """Cut the shutdown short at its deadline; not in the group, which it has to outlive."""
        await ctx.stopping.wait()
        ctx.announce_stopping()  # for a service that set the event by itself
        self._arm_hard_exit()
        await asyncio.sleep(self._deadline_s)
        self._log.error(SHUTDOWN_OVERRAN, deadline_s=self._deadline_s)
        self._cancel_everything()

    def _cancel_everything(self) -> None:
        """Cancel every task but the one that reports the end.

        A task group that is already ending passes no further cancellation on to its
        tasks, and those that hang in their own clean-up are the ones meant here.
        """
        self._cut_short = True
        for task in asyncio.all_tasks():
            if task is not self._supervising:
                task.cancel()

    def _arm_hard_exit(self) -> None:
        if self._hard_exit is None:
            self._hard_exit = threading.Timer(self._deadline_s + HARD_EXIT_GRACE_S, self._exit_hard)
            self._hard_exit.daemon = True
            self._hard_exit.start()

    def _exit_hard(self) -> None:
        """End the process from beside the loop, which a task that ignores its end keeps busy."""
        self._log.error(SHUTDOWN_HUNG, after_s=self._deadline_s + HARD_EXIT_GRACE_S)
        os._exit(EXIT_FAILED)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        # Signals reach the main thread only; a service in another one is stopped by its owner.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except NotImplementedError:  # Windows
                signal.signal(
                    number,
                    lambda got, _: loop.call_soon_threadsafe(self._on_signal, signal.Signals(got)),
                )
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                try:
                    loop.remove_signal_handler(number)
                except NotImplementedError:
                    signal.signal(number, signal.SIG_DFL)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._ctx is None:
            self._cancel_everything()
        elif not self._ctx.stopping.is_set():
            self._log.info(STOP_REQUESTED, signal=number.name)
            self._ctx.announce_stopping()
        elif number == signal.SIGINT:  # somebody at the keyboard has waited long enough
            self._log.warning(STOP_FORCED, signal=number.name)
            self._cancel_everything()

    def _callback_reporter(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
        """Report what a callback of the loop raised; a peer may be able to repeat it at will."""
        log = RateLimitedLogger(self._log)

        def report(_loop: asyncio.AbstractEventLoop, report: dict[str, Any]) -> None:
            error = report.get("exception")
            message = report["message"]
            once = (type(error).__name__, message)
            log.error(CALLBACK_FAILED, once_per=once, reason=message, exc_info=error)

        return report


def tell_operator(program: str, mistakes: Sequence[OperatorError]) -> int:
    """Print each mistake as one line on stderr and return the exit status."""
    for mistake in mistakes:
        sys.stderr.write(f"{program}: {safe_text(str(mistake))}\n")
    return EXIT_OPERATOR


def _operator_errors(error: Exception) -> list[OperatorError]:
    """Return what the operator has to put right, or nothing if there is any other fault."""
    leaves = _leaves(error)
    mistakes = [leaf for leaf in leaves if isinstance(leaf, OperatorError)]
    return mistakes if len(mistakes) == len(leaves) else []


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
