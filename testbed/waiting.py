"""Waiting for a condition of another process, always with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from testbed.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_INTERVAL_S = 0.01

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """Return the condition's first truthy answer; WaitTimeoutError names `what` after the deadline.

    The condition is tried once more at the deadline, so that a stalled machine is not a failure.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() >= deadline
        if found := condition():
            return found
        if late:
            raise WaitTimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(_POLL_INTERVAL_S)
