"""How much one leg may bring before the others get their turn.

aiofastnet, which carries picows' connections, reads up to 256 KiB from one before it looks at the
next. Here a turn is one read. Measured with ten busy pairs, on a core that had nothing else to do,
beside turns of two reads of 16 KiB: reads of 16 KiB cost a tenth of the throughput per CPU-second,
those of 64 KiB bring up to a quarter more, those of 128 KiB no more than that. What a turn takes is
what a quiet leg may have to wait (`relayd.turn_loop`): 64 KiB are 0.13 ms.
"""

from __future__ import annotations

from typing import Final

from aiofastnet import constants

TURN_BYTES: Final = 4 * (16 * 1024 + 64)
"""What one read of the socket takes: four TLS records with their headers. A leg holds as much, but
of what it never filled the kernel keeps no pages."""
IDLE_BUFFER_BYTES: Final = 4096
"""What picows keeps for a leg that has not sent more at once; it grows to what comes."""


def limit_turns() -> None:
    """Bound the turns of TLS connections that are accepted from now on.

    aiofastnet 1.2 has an option for the size of one read, but none for the reads of one turn: it
    reads on until it has this many bytes, and looks at this constant whenever a TLS connection is
    made. Legs without TLS, which come from a terminator on this host, keep its default.
    """
    constants.MAX_READ_BYTES_PER_CYCLE_HINT = 1
