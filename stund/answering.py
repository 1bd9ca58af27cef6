"""One process at work: its sockets on the loop, and its sign of life once a second."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rclib.runtime.clock import boottime
from stund.lane import Lane
from stund.limiter import RateLimiter
from stund.ring import open_ring
from stund.sockets import receive_drops

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from stund.arena import Arena
    from stund.config import RateLimit

TICK_S: Final = 1.0


async def answer(
    sockets: Sequence[socket.socket],
    arena: Arena,
    worker: int,
    rate: RateLimit,
    on_tick: Callable[[], None],
) -> None:
    """Answer what arrives on the sockets until cancelled; raises what a socket raises.

    Once a second it records in the arena what the kernel dropped and that this loop turns,
    and calls `on_tick`.
    """
    loop = asyncio.get_running_loop()
    broken = loop.create_future()

    def drain(lane: Lane) -> None:
        try:
            lane.drain()
        except Exception as error:  # noqa: BLE001 - the loop would call again at once, for ever
            if not broken.done():
                broken.set_exception(error)

    limiter = _make_limiter(rate, arena)
    with ExitStack() as undo:
        for each in sockets:
            lane = Lane(open_ring(each), arena.counts_of(worker), limiter)
            loop.add_reader(each.fileno(), drain, lane)
            undo.callback(loop.remove_reader, each.fileno())
        drops = [0] * len(sockets)
        while not broken.done():
            before, drops = drops, [receive_drops(each) for each in sockets]
            # The kernel's count has 32 bits and starts over behind its end.
            arena.add_drops(worker, (sum(drops) - sum(before)) % (1 << 32))
            arena.see(worker, boottime())
            on_tick()
            await asyncio.wait({broken}, timeout=TICK_S)
    broken.result()


def _make_limiter(rate: RateLimit, arena: Arena) -> RateLimiter | None:
    if not rate.enabled:
        return None
    return RateLimiter(
        arena.buckets, per_s=rate.requests_per_s, burst=rate.burst, secret=arena.secret
    )
