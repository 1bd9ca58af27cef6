"""The address book as aiohttp asks it; apart, because not every command needs aiohttp."""

from __future__ import annotations

import socket
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from rclib.tunnel.name_lookup import family_of


class Lookup(Protocol):
    """Whoever knows names: an address book, mostly."""

    async def lookup(self, name: str) -> list[str]: ...


class BookResolver(AbstractResolver):
    """An address book as aiohttp asks it."""

    def __init__(self, book: Lookup) -> None:
        self._book = book

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError."""
        found = [(each, family_of(each)) for each in await self._book.lookup(host)]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, kind in found
            if family in {kind, socket.AF_UNSPEC}
        ]

    async def close(self) -> None:
        pass
