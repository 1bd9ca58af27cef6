"""The memory all workers share: what each has counted, and one table of rate limit buckets.

Clients are spread over the workers by address *and port*, so buckets of their own would give
one source its rate once per worker. Every number is aligned and written by plain stores; only
the buckets have more than one writer (see `stund.limiter`).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Final

import numpy as np

from stund.lane import OUTCOMES
from stund.limiter import SECRET_BYTES, SLOTS

if TYPE_CHECKING:
    from stund.lane import Counts
    from stund.limiter import Buckets

_SECRET_WORDS: Final = SECRET_BYTES // 8
_WORKER_WORDS: Final = 64  # with room to spare: no two workers in one cache line
_DROPS: Final = len(OUTCOMES)
_SEEN_AT: Final = len(OUTCOMES) + 1
_POPULATE: Final = getattr(mmap, "MAP_POPULATE", 0)  # so that memory does not grow with use


class Arena:
    """A mapping of `fd`, which stays open for passing it on."""

    def __init__(self, fd: int, workers: int) -> None:
        self.fd = fd
        memory = mmap.mmap(fd, _size(workers), mmap.MAP_SHARED | _POPULATE)
        words = np.frombuffer(memory, np.int64)
        self._secret = words[:_SECRET_WORDS]
        self._workers = words[_WORKER_WORDS:-SLOTS].reshape(workers, _WORKER_WORDS)
        self.buckets: Buckets = words[-SLOTS:]

    @classmethod
    def create(cls, workers: int, secret: bytes) -> Arena:
        """Make the memory, all zero but the secret."""
        fd = _anonymous_file()
        os.ftruncate(fd, _size(workers))
        arena = cls(fd, workers)
        arena._secret[:] = np.frombuffer(secret, np.int64)
        return arena

    @property
    def secret(self) -> bytes:
        """What the limiter hashes sources with; here and not on a command line others can read."""
        return self._secret.tobytes()

    @property
    def counts(self) -> Counts:
        """Datagrams by outcome, of all workers since the start."""
        total: Counts = self._workers[:, : len(OUTCOMES)].sum(axis=0)
        return total

    @property
    def drops(self) -> int:
        """Datagrams the kernel dropped because a worker did not keep up."""
        return int(self._workers[:, _DROPS].sum())

    def counts_of(self, worker: int) -> Counts:
        """Return the row that this worker writes."""
        return self._workers[worker, : len(OUTCOMES)]

    def add_drops(self, worker: int, drops: int) -> None:
        """Record what the kernel dropped on this worker's sockets."""
        self._workers[worker, _DROPS] += drops

    def see(self, worker: int, now: float) -> None:
        """Record that this worker is alive, in boottime seconds."""
        self._workers[worker, _SEEN_AT] = int(now * 1000)

    def seen_at(self, worker: int) -> float:
        """Return when this worker was alive for the last time, in boottime seconds."""
        return int(self._workers[worker, _SEEN_AT]) / 1000


def _size(workers: int) -> int:
    return 8 * (_WORKER_WORDS * (1 + workers) + SLOTS)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stund", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
