"""What the sweep says about itself; what it does to sessions is in test_session_keeper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from controld.store import StoreUnavailableError

if TYPE_CHECKING:
    import pytest

    from tests.controld.world import World


async def test_a_store_that_is_away_hinders_the_sweep_until_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is fed meanwhile: starting controld anew would bring no disk back."""
    sweeper = world.server.sweeper
    said: asyncio.Queue[str] = asyncio.Queue()

    async def away() -> None:
        raise StoreUnavailableError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(sweeper, "sweep", away)
        running = asyncio.create_task(
            sweeper.run(lambda: said.put_nowait("done"), lambda: said.put_nowait("hindered"))
        )
        assert await said.get() == "hindered"
    assert await said.get() == "done"
    running.cancel()
