"""How often somebody may try to be a user. Pure: the times of failed attempts in, a wait out.

Over all ways in together: passwords, codes, recovery codes, the old password on a change. At most
MAX_IN_WINDOW attempts in any WINDOW_MS; from the tenth failure without a success on, each further
one has to wait twice as long as the one before, up to MAX_DELAY_MS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_IN_WINDOW: Final = 10
WINDOW_MS: Final = 10 * 60 * 1000
FIRST_DELAY_MS: Final = 30 * 1000
MAX_DELAY_MS: Final = 30 * 60 * 1000
MEMORY_MS: Final = 24 * 60 * 60 * 1000
"""A failure is forgotten after this; a success forgets all of them."""


def may_try_from_ms(failures: Sequence[int]) -> int:
    """From when on the next attempt is looked at; `failures` are their times, oldest first."""
    if len(failures) < MAX_IN_WINDOW:
        return 0
    doublings = len(failures) - MAX_IN_WINDOW
    delay = min(MAX_DELAY_MS, FIRST_DELAY_MS << min(doublings, 16))
    return max(failures[-1] + delay, failures[-MAX_IN_WINDOW] + WINDOW_MS)


def is_alarm(failures: int) -> bool:
    """Whether this many failures in a row are what the owner and the record are told about."""
    return failures >= MAX_IN_WINDOW and failures % MAX_IN_WINDOW == 0
