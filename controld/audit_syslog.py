"""The record as RFC 5424 messages to a syslog server, over TCP (RFC 6587) or TLS (RFC 5425).

At least once: neither transport confirms, so after a broken connection the last messages are
sent again. Each carries its number in the record (`seq`), by which a receiver knows them.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy import insert, select, update

from controld import store_audit
from controld.audit_export import octet_counted, syslog_line
from controld.schema.record import audit_forwards
from controld.store import StoreUnavailableError
from rclib.runtime.backoff import FullJitter
from rclib.runtime.logs import RateLimitedLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from controld.audit_chain import Record
    from controld.store import Store, Tx
    from rclib.runtime.logs import Logger

LOOK_S: Final = 1.0
CONNECT_S: Final = 10
DRAIN_S: Final = 10
PORTION: Final = 200
AGAIN: Final = 200
"""How many of the messages before a broken connection are sent again."""
FORWARD_FAILED = "audit_forward_failed"
SCHEMES: Final = {"tcp": 601, "tls": 6514}


class Target:
    """Where messages go."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        """Raises ValueError for what is neither tcp:// nor tls://, OSError for the CA file."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"{url!r} is not tcp://HOST:PORT or tls://HOST:PORT")
        self.host = parts.hostname
        self.port = parts.port or SCHEMES[parts.scheme]
        self.tls: ssl.SSLContext | None = None
        if parts.scheme == "tls":
            self.tls = ssl.create_default_context(cafile=ca_file)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    async def connect(self) -> asyncio.StreamWriter:
        """Raises OSError (TimeoutError and ssl.SSLError among them)."""
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        return writer


async def send(
    writer: asyncio.StreamWriter, rows: Iterable[tuple[Record, bytes]], host: str
) -> None:
    """Write rows and wait until the transport has taken them; raises OSError."""
    for record, row_hash in rows:
        writer.write(octet_counted(syslog_line(record, row_hash, host)))
    async with asyncio.timeout(DRAIN_S):
        await writer.drain()


class Forwarder:
    """Sends every row of the record, from where it was left before a restart.

    Of several controlds on one database, while it is this one's duty.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        host: str,
        log: Logger,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._is_mine = is_mine
        self._target = target
        self._host = host
        self._log = RateLimitedLogger(log)

    async def run(self) -> None:
        """Forward for ever; nothing of controld waits for it."""
        backoff = FullJitter(1.0, 60.0)
        while True:
            if not self._is_mine():
                await asyncio.sleep(LOOK_S)
                continue
            try:
                writer = await self._target.connect()
                try:
                    backoff.reset()
                    await self._forward(writer)
                finally:
                    writer.close()
            except (OSError, StoreUnavailableError) as exc:
                self._log.warning(
                    FORWARD_FAILED, once_per="target", target=str(self._target), reason=exc
                )
            # The share is drawn where nothing depends on its secrecy.
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311

    async def _forward(self, writer: asyncio.StreamWriter) -> None:
        sent = max(0, await self._store.read(self._position) - AGAIN)
        while self._is_mine():
            if writer.transport.is_closing():
                raise ConnectionResetError("the syslog server closed the connection")
            after = sent
            rows = await self._store.read(
                lambda tx: store_audit.select_rows(tx, store_audit.Wanted(), after, PORTION)  # noqa: B023 -- read at once
            )
            if not rows:
                await asyncio.sleep(LOOK_S)
                continue
            await send(writer, rows, self._host)
            sent = rows[-1][0].seq
            await self._store.write(lambda tx: self._move(tx, sent))  # noqa: B023 -- run at once

    def _position(self, tx: Tx) -> int:
        query = select(audit_forwards.c.seq).where(audit_forwards.c.target == str(self._target))
        return tx.scalar(query) or 0

    def _move(self, tx: Tx, seq: int) -> None:
        target = str(self._target)
        moved = update(audit_forwards).where(audit_forwards.c.target == target).values(seq=seq)
        if tx.execute(moved).rowcount == 0:
            tx.execute(insert(audit_forwards).values(target=target, seq=seq))


async def send_all(target: Target, rows: Iterable[tuple[Record, bytes]], host: str) -> int:
    """Send rows once and say how many; raises OSError."""
    writer = await target.connect()
    count = 0
    portion: list[tuple[Record, bytes]] = []
    try:
        for row in rows:
            portion.append(row)
            count += 1
            if len(portion) == PORTION:
                await send(writer, portion, host)
                portion.clear()
        await send(writer, portion, host)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return count
