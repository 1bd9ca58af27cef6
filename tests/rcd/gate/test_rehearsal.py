"""What the kernel cannot do is said when a gate starts, not when somebody needs a session."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    Gates = Any  # of conftest.py

pytestmark = [pytest.mark.netns, pytest.mark.slow]

START_S: Final = 30
NFT: Final = """\
#!/bin/sh
# To every ruleset it adds a chain of a kind that no kernel has at this hook.
case "$*" in *"--file -") ;; *) exec {nft} "$@" ;; esac
rules=$(cat)
case "$rules" in *"chain "*) rules="$rules
table inet x {{ chain c {{ type nat hook forward priority 0; }}; }}" ;; esac
printf '%s\\n' "$rules" | exec {nft} "$@"
"""


@pytest.mark.parametrize("program", ["rcd", "rcc"])
def test_a_gate_whose_rules_the_kernel_does_not_take_does_not_start(
    gates: Gates, tmp_path: Path, program: str
) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    nft = tmp_path / "nft"
    nft.write_text(NFT.format(nft=shutil.which("nft", path=path)))
    nft.chmod(0o755)
    if gates.running(program):
        gates.processes[program].stop()
    gate = gates.start(program, env={"PATH": f"{tmp_path}:{path}"})
    assert gate.wait(START_S) == 2
    said = gate.log.read_text()
    assert "nft refuses the rules" in said
    assert "Operation not supported" in said
    assert "Traceback" not in said
