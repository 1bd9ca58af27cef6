"""How many requests a source gets answered: token buckets in a table of fixed size. Pure numpy.

A bucket is one number, the time at which it will be full again (the generic cell rate
algorithm). Sources are hashed into the table with a secret, so that nobody can choose addresses
that share a victim's bucket, and there is no state that grows with the number of sources. Two
sources that meet in one bucket share its rate: with 2^18 buckets that hurts nobody until some
hundred thousand sources are busy in the same second.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stund.batch import IPV4_WORDS, Mask, Words, ipv4_mapped

SLOT_BITS: Final = 18
SLOTS: Final = 1 << SLOT_BITS
SECRET_BYTES: Final = 24

Buckets = NDArray[np.int64]
Keys = NDArray[np.uint64]


class RateLimiter:
    """`per_s` requests a second for each source, `burst` at once.

    `buckets` holds SLOTS numbers and may be shared between processes, without a lock: each of
    two that judge the same source in the same instant can let a burst pass. From the next instant
    on the bucket is right again, and nothing of that adds up.
    """

    def __init__(self, buckets: Buckets, *, per_s: float, burst: int, secret: bytes) -> None:
        if len(buckets) != SLOTS or len(secret) != SECRET_BYTES:
            raise ValueError(f"a limiter takes {SLOTS} buckets and {SECRET_BYTES} secret bytes")
        self._full_again_us = buckets
        self._interval_us = round(1_000_000 / per_s)
        self._tolerance_us = (burst - 1) * self._interval_us
        mask, first, second = np.frombuffer(secret, np.uint64)
        self._mask = mask
        self._odd = first | np.uint64(1), second | np.uint64(1)

    def admit(self, keys: Keys, now_us: int) -> Mask:
        """Tell which of these requests, all of this instant, are within their source's rate."""
        slots = self._slots(keys)
        rank = _rank_among_equals(slots)
        due_us = np.maximum(self._full_again_us[slots], now_us) + rank * self._interval_us
        admitted: Mask = due_us - now_us <= self._tolerance_us
        # Of several requests of one source the last admitted one has the latest time.
        np.maximum.at(self._full_again_us, slots[admitted], due_us[admitted] + self._interval_us)
        return admitted

    def _slots(self, keys: Keys) -> NDArray[np.intp]:
        mixed = (keys ^ self._mask) * self._odd[0]
        mixed ^= mixed >> np.uint64(32)
        mixed *= self._odd[1]
        slots: NDArray[np.intp] = (mixed >> np.uint64(64 - SLOT_BITS)).astype(np.intp)
        return slots


def source_keys(addresses: Words) -> Keys:
    """Turn source addresses into what one bucket is for: an IPv4 address, an IPv6 /64.

    An IPv4 address in its IPv6-mapped spelling has the key of the IPv4 address.
    """
    if addresses.shape[1] == IPV4_WORDS:
        return addresses[:, 0].astype(np.uint64)
    prefix = addresses[:, 0].astype(np.uint64) << np.uint64(32) | addresses[:, 1]
    return np.where(ipv4_mapped(addresses), addresses[:, 3], prefix)


def _rank_among_equals(slots: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the requests of each slot 0, 1, 2, … in the order of their arrival."""
    order = np.argsort(slots, kind="stable")
    position = np.arange(len(slots))
    grouped = slots[order]
    starts = np.empty(len(slots), np.bool_)
    starts[:1] = True
    np.not_equal(grouped[1:], grouped[:-1], out=starts[1:])
    rank = np.empty(len(slots), np.intp)
    rank[order] = position - np.maximum.accumulate(np.where(starts, position, 0))
    return rank
