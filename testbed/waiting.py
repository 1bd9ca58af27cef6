"""Waiting for a condition of another process, always with a deadline."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, TypeVar

from testbed.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

SLOWNESS: Final = float(os.environ.get("TESTBED_SLOWNESS", "1"))
"""How much longer everything may take here than on a real machine: an emulated one sets it."""

_POLL_INTERVAL_S = 0.01

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """Return the condition's first truthy answer; WaitTimeoutError names `what` after the deadline.

    The condition is tried once more at the deadline, so that a stalled machine is not a failure.
    """
    timeout_s *= SLOWNESS
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if found := condition():
            return found
        if began >= deadline:
            raise WaitTimeoutError(f"waited {timeout_s:g} s for {what}")
        # Where a look itself takes long, looking all the time would hold up what is waited for.
        time.sleep(max(_POLL_INTERVAL_S, time.monotonic() - began))
