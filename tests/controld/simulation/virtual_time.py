"""A loop whose time jumps to the next timer, and one source of chance for everything.

Nothing in a simulation waits for the real clock, a socket or a thread; so the seed decides all.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCH_MS: Final = 1_750_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready; if nothing is, it is at once as late as the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual_s = 0.0
        # A caller that was cancelled does not hear how its transaction ended; nobody has to.
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        return self.virtual_s

    def _run_once(self) -> None:
        timers: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0]._cancelled:  # noqa: SLF001 -- a loop's own
            timers[0]._scheduled = False  # noqa: SLF001
            asyncio.base_events.heapq.heappop(timers)  # type: ignore[attr-defined]
            self._timer_cancelled_count = max(0, self._timer_cancelled_count - 1)
        if not self._ready:  # type: ignore[attr-defined]
            if not timers:
                raise AssertionError("everybody waits for somebody")
            self.virtual_s = max(self.virtual_s, timers[0].when())
        super()._run_once()  # type: ignore[misc]


class Chance:
    """The seed's decisions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- chooses what happens in a test

    def happens(self, share: float) -> bool:
        return self._random.random() < share

    def one_of(self, choices: Any) -> Any:  # noqa: ANN401 -- of whatever
        return self._random.choice(choices)

    def seconds(self, most: float) -> float:
        return self._random.random() * most

    async def pause(self, most: float) -> None:
        await asyncio.sleep(self.seconds(most))

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """The program's own randomness comes from the seed, too."""
        urlsafe = lambda count=32: self._random.randbytes(count).hex()[: count + 11]  # noqa: E731
        with (
            mock.patch.object(secrets, "token_bytes", self._random.randbytes),
            mock.patch.object(secrets, "token_urlsafe", urlsafe),
            mock.patch.object(secrets, "randbelow", self._random.randrange),
            mock.patch.object(random, "random", self._random.random),
        ):
            yield


def now_ms() -> int:
    """The wall clock of everybody in the simulation."""
    return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)
