"""How far the regions' relays are from this gateway: the round trip of a TCP connect, now and then.

Only while the control link is up, that is, while access is ON. Through an HTTP proxy it is that of
a CONNECT, which the proxy answers when it has reached the relay.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from rclib.runtime.clock import boottime
from rclib.wire.control import RegionRtt

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.tunnel.uplink import Uplink
    from rclib.wire.link import Region

ROUND_S: Final = 300.0
JITTER: Final = 0.2
"""Share of ROUND_S by which a pause differs: a site's gateways do not all measure at once."""
PROBES: Final = 3
"""Connects of a round to each region, one after the other."""
KEPT: Final = 5
LIMIT_S: Final = 3.0
TLS_PORT: Final = 443


@dataclass(slots=True)
class _Seen:
    """The newest round trips to one region, and when the last was measured (boot clock)."""

    rtts_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    at: float = 0.0


class RegionWatch:
    """Measures, and says after each round that there is news."""

    def __init__(self, uplink: Uplink, on_news: Callable[[], None]) -> None:
        self._uplink = uplink
        self._on_news = on_news
        self._seen: dict[str, _Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, regions: tuple[Region, ...]) -> None:
        """Measure these from now on; one region alone needs no measuring."""
        self.stop()
        self._seen = {each.name: self._seen.get(each.name, _Seen()) for each in regions}
        if len(regions) > 1:
            self._task = asyncio.create_task(self._run(regions), name="regions")

    def stop(self) -> None:
        """Idempotent. What was measured is kept for the next link, with its age."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def measured(self) -> tuple[RegionRtt, ...]:
        """The median of the newest round trips of each region that answered."""
        now = boottime()
        return tuple(
            RegionRtt(name, round(statistics.median(seen.rtts_ms), 1), round(now - seen.at))
            for name, seen in self._seen.items()
            if seen.rtts_ms
        )

    async def _run(self, regions: tuple[Region, ...]) -> None:
        while True:
            for _ in range(PROBES):
                for region in regions:
                    await self._probe(region)
            self._on_news()
            # Nothing depends on this draw being a secret.
            share = 1 + JITTER * (2 * random.random() - 1)  # noqa: S311
            await asyncio.sleep(ROUND_S * share)

    async def _probe(self, region: Region) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                rtt_s = await self._round_trip(region)
        except (OSError, TimeoutError, ProxyError):
            return
        seen = self._seen[region.name]
        seen.rtts_ms.append(rtt_s * 1000)
        seen.at = boottime()

    async def _round_trip(self, region: Region) -> float:
        parts = urlsplit(region.url)
        name, port = parts.hostname or "", parts.port or TLS_PORT
        if self._uplink.proxy is not None:
            # The way to the proxy is in it twice, but so it is for every region.
            started = boottime()
            with await Proxy.from_url(self._uplink.proxy).connect(name, port):
                return boottime() - started
        # The name apart: how long a resolver takes says nothing about the region.
        address, *_ = await self._uplink.names.lookup(name)
        started = boottime()
        _, writer = await asyncio.open_connection(address, port)
        rtt_s = boottime() - started
        writer.close()
        return rtt_s
