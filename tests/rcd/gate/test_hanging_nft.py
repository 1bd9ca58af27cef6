"""A gate whose nft hangs: closed without it, and no longer alive than a step may take."""

from __future__ import annotations

import asyncio
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from rclib.tunnel.gate_server import STEP_S, WATCH_S
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Gates = Any  # of conftest.py

pytestmark = pytest.mark.netns

NFT: Final = """\
#!/bin/sh
if [ -e {hang} ]; then exec sleep infinity; fi
exec {nft} "$@"
"""


@pytest.fixture
def hang(gates: Gates, tmp_path: Path) -> Iterator[Path]:
    """While there is a file of this name, no nft that the gate starts says anything."""
    file, program = tmp_path / "hang", tmp_path / "nft"
    path = f"{os.environ['PATH']}:/usr/sbin"
    program.write_text(NFT.format(hang=file, nft=shutil.which("nft", path=path)))
    program.chmod(0o755)
    gates.processes["rcd"].stop()
    gates.start("rcd", env={"PATH": f"{tmp_path}:{path}"})
    gates.ensure_ready()
    yield file
    file.unlink(missing_ok=True)
    gates.processes["rcd"].stop()
    assert gates.command("rcd", "close").returncode == 0


@pytest.mark.slow
async def test_a_gate_whose_nft_hangs_closes_without_it_and_ends(ready: Gates, hang: Path) -> None:
    """Whoever watches over it starts it anew (T28); what it could not remove lets nothing pass."""
    async with ready.controlled() as pair:
        opened, _ = await pair.open([ready.echo_udp])
        async with pair.renewing("a"):
            answers = partial(ready.answers, ready.plc, 7, family="udp")
            await asyncio.to_thread(until, answers, 10, "an answer")
        hang.touch()
        gate = ready.processes["rcd"]
        assert await asyncio.to_thread(gate.wait, WATCH_S + STEP_S + 15) == 1
        assert opened.interface not in ready.interfaces(ready.gateway)
        assert "subprocess.py" in gate.log.read_text(), "its stacks say what it waited for"
        wire = ready.bed.counter("plc", "ip saddr 192.168.1.1 udp dport 7")
        assert not await asyncio.to_thread(ready.answers, ready.plc, 7, family="udp")
        assert wire.packets == 0
