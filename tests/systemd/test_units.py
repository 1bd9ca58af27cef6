"""The systemd units: accepted by systemd itself, and with no more rights than they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stund.config import StundConfig

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
SOCKETS = sorted((ROOT / "systemd").glob("*.socket"))
USER_UNITS = sorted((ROOT / "systemd" / "user").glob("*.service"))
GATES = ("rcd-gate", "rcc-gate")
DAEMONS = {"controld", "relayd", "stund", "rcd", "ams", *GATES}


def test_every_daemon_has_a_unit() -> None:
    assert {unit.stem for unit in UNITS} == DAEMONS


@pytest.mark.parametrize("unit", UNITS + SOCKETS + USER_UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing; install Debian's package systemd")
    # Where the programs are installed is checked by the packaging, not here.
    for each in UNITS + USER_UNITS:
        text = re.sub(r"/opt/remoteconnect/bin/\S+", "/bin/true", each.read_text(encoding="utf-8"))
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    copy = tmp_path / unit.name
    if unit in SOCKETS:  # its service stands beside it
        copy.write_text(unit.read_text(encoding="utf-8"), encoding="utf-8")
    manager = ["--user"] if unit in USER_UNITS else []
    done = subprocess.run(
        ["systemd-analyze", *manager, "verify", "--man=no", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


@pytest.mark.parametrize("unit", UNITS + USER_UNITS, ids=lambda unit: unit.stem)
def test_no_unit_is_given_up(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert re.search("^Restart=always$", text, re.MULTILINE)
    assert re.search("^StartLimitIntervalSec=0$", text, re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_only_the_gates_may_change_the_network(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert ("CAP_NET_ADMIN" in text) is (unit.stem in GATES)


@pytest.mark.parametrize("gate", GATES)
def test_the_gate_is_closed_whatever_ends_it(gate: str) -> None:
    text = (ROOT / "systemd" / f"{gate}.service").read_text(encoding="utf-8")
    assert re.search(rf"^ExecStopPost=\S+/{gate} close$", text, re.MULTILINE)


def test_systemd_opens_the_sockets_stund_would_open_itself() -> None:
    text = (ROOT / "systemd" / "stund.socket").read_text(encoding="utf-8")
    opened = re.findall(r"^ListenDatagram=(.+)$", text, re.MULTILINE)
    assert opened == [str(each) for each in StundConfig().listen]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_leaves_little_to_whoever_takes_it_over(unit: Path) -> None:
    """systemd's own measure, 0 to 10; beyond 1.5 only for a capability, which these need.

    A gate's 2.0 is root with CAP_NET_ADMIN (0.6), the machine's network and all its address
    families (1.2, half of the whole), /dev/net/tun, and interfaces' settings under /proc/sys (0.4).
    """
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing; install Debian's package systemd")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(rf"exposure level for {unit.name}: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    holds_capability = "\nCapabilityBoundingSet=CAP" in unit.read_text(encoding="utf-8")
    assert float(found[1]) <= (2.0 if holds_capability else 1.5), done.stdout
