"""`rcd-gate close`: what it needs, and that it undoes all of what a killed gate leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rcd.gate.names import FLOW_MARK

if TYPE_CHECKING:
    Gates = Any  # of conftest.py

PROJECT = Path(__file__).resolve().parents[3]
# Without site-packages: no library of ours or of others can be imported but by this path.
ALONE = [sys.executable, "-I", "-S", "-c"]


def run_alone(code: str) -> str:
    text = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{code}"
    return subprocess.run([*ALONE, text], capture_output=True, text=True, check=True).stdout


def test_closing_imports_nothing_but_pythons_own_library() -> None:
    loaded = run_alone(
        "import rcd.gate.__main__\n"
        "print(*{m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names)"
    )
    assert set(loaded.split()) == {"rcd", "__main__"} - sys.stdlib_module_names


@pytest.mark.netns
@pytest.mark.both_kernels
async def test_closing_without_any_library_undoes_what_a_killed_gate_left(ready: Gates) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "from rcd.gate.__main__ import main; sys.exit(main(['close']))"
    )
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        assert ready.answers(ready.plc, 502)
        ready.processes["rcd"].kill()
        assert "100.64.1.2" in ready.gateway.run(["conntrack", "-L"]).stdout
        assert ready.forwarding() == "1"
        done = ready.gateway.run([*ALONE, code])
        assert (done.returncode, done.stderr) == (0, "")
        ready.assert_nothing_left()


@pytest.mark.netns
@pytest.mark.both_kernels
async def test_closing_forgets_the_tunnels_connections_and_no_others(ready: Gates) -> None:
    ready.gateway.run(["conntrack", "-F"], check=True)
    async with ready.controlled() as pair:
        await pair.open([ready.modbus])
        assert ready.answers(ready.plc, 502)
        assert ready.gateway.run(["ping", "-c1", "-W1", ready.plc]).returncode == 0
        ready.processes["rcd"].kill()
        marked = ready.gateway.run(["conntrack", "-L", "--mark", str(FLOW_MARK)]).stdout
        assert marked.count("100.64.1.2") == 1
        assert ready.command("rcd", "close").returncode == 0
        left = ready.gateway.run(["conntrack", "-L"]).stdout
        assert "100.64." not in left
        assert "icmp" in left


@pytest.mark.netns
@pytest.mark.both_kernels
def test_closing_twice_is_no_error(ready: Gates) -> None:
    for _ in range(2):
        done = ready.command("rcd", "close")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.netns
@pytest.mark.both_kernels
def test_what_could_not_be_closed_is_said_and_is_a_failure(ready: Gates) -> None:
    done = ready.gateway.run(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-m", "rcd.gate", "close"]
    )
    assert done.returncode == 1
    assert "not permitted; it takes root or CAP_NET_ADMIN" in done.stderr
