from __future__ import annotations

import asyncio
import sys

import pytest

from rclib.runtime.loop import new_event_loop


@pytest.mark.skipif(sys.platform != "linux", reason="Windows has winloop, others asyncio")
def test_the_loop_on_linux_is_uvloop() -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()

    assert type(loop).__module__.startswith("uvloop")
