"""Group commit: entries that change nothing but the record share its transactions.

While one transaction is under way, entries gather; the next one takes them all. Each caller
waits until its own entry is durable. Alone, an entry waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from controld import store_audit
from controld.errors import DomainError
from controld.store import StoreUnavailableError

if TYPE_CHECKING:
    from controld.records import Entry
    from controld.store import Store

    Noted = tuple[Entry, int]

MAX_GROUP: Final = 1000


class Recorder:
    """Takes entries for the record of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[tuple[Noted, asyncio.Future[None]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def record(self, entry: Entry, now_ms: int) -> None:
        """Put an entry on record; on return it is durable. Raises StoreUnavailableError.

        A caller that is cancelled does not take its entry back.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(((entry, now_ms), done))
        if self._writer is None:
            self._writer = loop.create_task(self._write())
        await done

    async def close(self) -> None:
        """Wait until nothing is waiting."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), MAX_GROUP)
                await self._write_group([self._waiting.popleft() for _ in range(count)])
        finally:
            self._writer = None

    async def _write_group(self, group: list[tuple[Noted, asyncio.Future[None]]]) -> None:
        entries = [noted for noted, _ in group]
        try:
            await self._store.write(lambda tx: store_audit.append_all(tx, entries))
        except StoreUnavailableError as exc:
            for _, done in group:
                _fail(done, exc)
        except (DBAPIError, DomainError) as exc:
            if len(group) == 1:
                _fail(group[0][1], exc)
                return
            for one in group:  # one bad entry must not take the others along
                await self._write_group([one])
        else:
            for _, done in group:
                with suppress(asyncio.InvalidStateError):  # its caller was cancelled
                    done.set_result(None)


def _fail(done: asyncio.Future[None], exc: Exception) -> None:
    with suppress(asyncio.InvalidStateError):
        done.set_exception(exc)
