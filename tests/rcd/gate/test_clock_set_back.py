"""T16: a new session after the machine's clock was set back by a day.

A WireGuard peer refuses a handshake that is not later, by the initiator's clock, than the last one
(TAI64N, whitepaper section 5.1). A new session has new keys, and peers that remember nothing. How
one that runs goes on: PROBE_AFTER_S in `rcd/sessions.py`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from testbed.waiting import until
from testbed.wall_clock import DAY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    Gates = Any  # of conftest.py

pytestmark = pytest.mark.netns

INITIATION_BYTES: Final = 148
UDP_HEADER_BYTES: Final = 8


@contextmanager
def clock_set_back() -> Iterator[None]:
    """For all programs and the kernel: only on a machine that nobody else uses."""
    before, began = time.time(), time.monotonic()
    time.clock_settime(time.CLOCK_REALTIME, before - DAY_S)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic() - began)


def has_shaken(ready: Gates, interface: str) -> bool:
    shown = ready.technician.run(["wg", "show", interface, "latest-handshakes"], check=True).stdout
    return not shown.strip().endswith("\t0")


def forget_peer(ready: Gates, interface: str) -> None:
    """Have the technician's WireGuard begin with the same peer anew, with nothing it remembers."""
    shown = ready.technician.run(["wg", "showconf", interface], check=True).stdout
    peer = shown[shown.index("[Peer]") :]
    (key,) = (line.split(" = ")[1] for line in peer.splitlines() if line.startswith("PublicKey"))
    ready.technician.run(["wg", "set", interface, "peer", key, "remove"], check=True)
    ready.technician.run(["wg", "addconf", interface, "/dev/stdin"], stdin=peer, check=True)


@pytest.mark.kernel
async def test_a_new_session_opens_where_the_old_peer_takes_every_handshake_for_a_replay(
    ready: Gates,
) -> None:
    async with ready.controlled() as pair:
        inside, outside = await pair.open([ready.modbus], letter="a", number=1)

        def begin_anew() -> None:
            forget_peer(ready, outside.interface)

        def is_shaken() -> bool:
            return has_shaken(ready, outside.interface)

        async with pair.renewing("a"):
            await asyncio.to_thread(begin_anew)
            await asyncio.to_thread(until, is_shaken, 10, "a handshake, while the clock is right")
        with clock_set_back():
            async with pair.renewing("a"):
                size = INITIATION_BYTES + UDP_HEADER_BYTES
                initiations = ready.bed.counter(
                    "gateway", f"iifname lo udp dport {inside.listen_port} udp length {size}"
                )
                await asyncio.to_thread(begin_anew)
                await asyncio.to_thread(
                    until, lambda: initiations.packets >= 2, 20, "WireGuard to try again"
                )
                assert not is_shaken(), "taken for a replay; else this proves nothing"
            for gate in (pair.technician, pair.gateway):
                await gate.close(ready.session("a"))
            await pair.open([ready.modbus], letter="b", number=2)
            assert await asyncio.to_thread(ready.answers, ready.plc, 502)
