from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pymodbus
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 65534

SAY_WHY_NOT = "from testbed.requirements import why_not; print(why_not() or '')"
READ_THE_PLC = """
from testbed.bed import Testbed
with Testbed.build() as bed:
    counter = bed.counter("plc", "tcp dport 502")
    reader = bed.host("gateway").tool("modbus_read", "192.168.1.10", "10", "1", "5")
    print(reader.wait_message("read")["values"][0])
    reader.wait(5)
    assert counter.packets
    bed.set_nat("tech_nat", bed.host("tech_nat").plan.nat)
"""


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """The testbed's code where an unprivileged user can read it, wherever the project lies."""
    directory = Path(tempfile.mkdtemp(prefix="unprivileged-"))
    directory.chmod(0o755)
    pymodbus_source = Path(pymodbus.__file__).parent
    for source in (PROJECT / "testbed", pymodbus_source):
        shutil.copytree(source, directory / source.name, copy_function=shutil.copyfile)
    home = directory / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


def test_it_builds_without_privileges_in_a_user_namespace(open_to_all: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this run is unprivileged already: every other test shows it")
    python = next(
        (
            each
            for each in (sys.executable, "/usr/bin/python3")
            if _as_nobody(each, "import asyncio, tomllib", open_to_all).returncode == 0
        ),
        None,
    )
    if python is None:
        pytest.skip("no Python interpreter that other users may run")
    reason = _as_nobody(python, SAY_WHY_NOT, open_to_all).stdout.strip()
    if reason:
        pytest.skip(f"unprivileged: {reason}")
    done = _as_nobody(python, READ_THE_PLC, open_to_all)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == int.from_bytes(b"PL", "big")


def _as_nobody(python: str, program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    # The shell is what loses access: setpriv itself would still resolve paths as root.
    shell = ("sh", "-c", 'exec "$0" "$@"')
    environment = {"HOME": str(directory / "home"), "PYTHONPATH": str(directory)}
    return subprocess.run(
        ["setpriv", *user, *shell, python, "-c", program],
        cwd=directory,
        env={**os.environ, **environment, "TMPDIR": "/tmp"},  # noqa: S108 - writable for anybody
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
