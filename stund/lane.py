"""From a readable socket to the answers on their way: both lanes and the limiter between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rclib.runtime.clock import boottime
from stund import responder
from stund.batch import plain_requests, write_answers
from stund.limiter import source_keys
from stund.responder import Outcome
from stund.ring import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stund.batch import Mask
    from stund.limiter import RateLimiter
    from stund.ring import Ring

    Counts = NDArray[np.int64]
    """One number for each of OUTCOMES."""

OUTCOMES: Final = tuple(Outcome)
MAX_BATCHES: Final = 4
"""Rings of one read event: about 2 ms under load, then signals and timers have their turn."""

_INDEX: Final = {outcome: index for index, outcome in enumerate(OUTCOMES)}


class Lane:
    """Answers what arrives on one ring; without a limiter, everything that deserves it."""

    def __init__(
        self,
        ring: Ring,
        counts: Counts,
        limiter: RateLimiter | None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._ring = ring
        self._counts = counts
        self._limiter = limiter
        self._clock = clock

    def drain(self) -> None:
        """Answer what has arrived, within bounds; the loop calls again if there is more."""
        for _ in range(MAX_BATCHES):
            count = self._ring.receive()
            if count:
                self._answer(count)
            if count < CAPACITY:
                return

    def _answer(self, count: int) -> None:
        ring = self._ring
        requests, ports = ring.requests[:count], ring.ports[:count]
        addresses = ring.addresses[:count]

        plain = plain_requests(requests, ring.sizes[:count], ports, addresses)
        wanted = plain.copy()
        for row in np.flatnonzero(~plain).tolist():
            wanted[row] = self._passes_screen(row)
        if self._limiter is not None:
            wanted = self._within_rate(self._limiter, wanted, source_keys(addresses))

        write_answers(ring.answers[:count], requests, ports, addresses)
        special: dict[int, Outcome] = {}  # whatever does not end as an ordinary answer
        for row in np.flatnonzero(wanted & ~plain).tolist():
            reply = responder.answer(ring.datagram(row), ring.source(row))
            if reply.answer is None:
                wanted[row] = False
                self._count(reply.outcome)
            else:
                ring.put(row, reply.answer)
                special[row] = reply.outcome

        rows = np.flatnonzero(wanted)
        special |= dict.fromkeys(ring.send(rows), Outcome.NOT_SENT)
        for outcome in special.values():
            self._count(outcome)
        self._count(Outcome.ANSWERED, len(rows) - len(special))

    def _passes_screen(self, row: int) -> bool:
        source = self._ring.source(row)
        refused = responder.screen(self._ring.datagram(row), source.port)
        if refused:
            self._count(refused)
        return refused is None

    def _within_rate(self, limiter: RateLimiter, wanted: Mask, keys: NDArray[np.uint64]) -> Mask:
        rows = np.flatnonzero(wanted)
        admitted = limiter.admit(keys[rows], int(self._clock() * 1_000_000))
        wanted[rows] = admitted
        self._count(Outcome.RATE_LIMITED, len(rows) - int(np.count_nonzero(admitted)))
        return wanted

    def _count(self, outcome: Outcome, times: int = 1) -> None:
        self._counts[_INDEX[outcome]] += times
