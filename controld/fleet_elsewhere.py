"""What this controld knows of the others, and what it has for them. Waits for nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controld.store_fleet import InstanceId, LinkRow
    from rclib.wire.ids import EndpointId, MessageId
    from rclib.wire.link import Message

    Posted = tuple[EndpointId, Message]

MAX_POSTED: Final = 20_000
"""Of a database that is away; reconciliation makes up for what is dropped beyond."""


class Elsewhere:
    """The hub's `Elsewhere`: a copy of the links' table, never older than one turn."""

    def __init__(self, me: InstanceId) -> None:
        self.me = me
        self.seen = 0
        """The newest change that is in the copy."""
        self.news = asyncio.Event()
        """There is something to write or to read."""
        self.posted: dict[MessageId, Posted] = {}
        self.arrived: set[MessageId] = set()
        self._rows: dict[EndpointId, LinkRow] = {}
        self._mine: dict[EndpointId, LinkRow] = {}

    def post(self, endpoint: EndpointId, message: Message) -> None:
        if len(self.posted) >= MAX_POSTED:
            del self.posted[next(iter(self.posted))]
        self.posted[message.id] = endpoint, message
        self.wake()

    def acknowledged(self, message: MessageId) -> None:
        self.arrived.add(message)
        self.wake()

    def wake(self) -> None:
        self.news.set()

    def place_of(self, endpoint: EndpointId) -> LinkRow | None:
        row = self._rows.get(endpoint)
        return row if row is not None and row.instance != self.me else None

    def learn(self, rows: Iterable[LinkRow]) -> None:
        """Take over what has changed."""
        for row in rows:
            self._rows[row.endpoint] = row
            self.seen = max(self.seen, row.changed)
            if row.instance == self.me:
                self._mine[row.endpoint] = row
            else:
                self._mine.pop(row.endpoint, None)

    def mine(self) -> Iterator[LinkRow]:
        """The links that the database believes to be here."""
        return iter(list(self._mine.values()))

    def begin_anew(self, me: InstanceId) -> None:
        """The others had given this instance up: none of its links is one any more."""
        self.me = me
        self._mine.clear()
