"""How much one leg may bring before the others get their turn.

A relay's round trip under full load is the sum of the turns of all busy legs. aiofastnet, which
carries picows' connections, reads up to 256 KiB from one before it looks at the next. Measured
with ten busy pairs: p99 of a quiet pair 8 to 15 times idle at 256 KiB, 2 to 5 at 32 KiB, 2.5 at
16 KiB, no better at 8 KiB. It costs up to a fifth of the throughput per CPU-second with ten busy
pairs, and none with one.
"""

from __future__ import annotations

from typing import Final

from aiofastnet import constants

TURN_BYTES: Final = 16 * 1024
BIO_BYTES: Final = 16 * 1024 + 64
"""What one read of the socket takes: a TLS record with its header."""
IDLE_BUFFER_BYTES: Final = 4096
"""What picows keeps for a leg that has not sent more at once; it grows to what comes."""


def limit_turns() -> None:
    """Bound the turns of TLS connections that are accepted from now on.

    aiofastnet 1.2 has an option for the size of one read, but none for the reads of one turn; it
    looks at this constant whenever a TLS connection is made. Legs without TLS, which come from a
    terminator on this host, keep its default.
    """
    constants.MAX_READ_BYTES_PER_CYCLE_HINT = TURN_BYTES
