"""Programs forked into a host behave as started ones do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import forked
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.topology import Topology
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.host import Host

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build(Topology(plants=(), technicians=())) as bed:
        yield bed.host("cloud")


def run(host: Host, tmp_path: Path, *arguments: str) -> tuple[forked.Forked, Path]:
    output = tmp_path / "output"
    with Path(os.devnull).open() as stdin, output.open("w") as out:
        command = [sys.executable, "-m", *arguments]
        files = (stdin.fileno(), out.fileno(), out.fileno())
        return forked.run(command, host.pid, {"PATH": os.environ["PATH"]}, files), output


def test_it_runs_in_the_namespaces_of_its_host(host: Host, tmp_path: Path) -> None:
    process, output = run(host, tmp_path, "testbed.tools.resolver", "silent")
    until(lambda: "ready" in output.read_text(), 10, "the resolver")
    for each in ("net", "mnt", "uts", "pid"):
        own, its = (Path(f"/proc/{pid}/ns/{each}").readlink() for pid in (process.pid, host.pid))
        assert own == its
    assert host.run(["ss", "-Hlun", "sport = :53"]).stdout
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert process.poll() == -signal.SIGTERM


def test_its_exit_status_is_passed_on(host: Host, tmp_path: Path) -> None:
    process, output = run(host, tmp_path, "controld", "--config", "/nowhere.toml")
    assert process.wait(10) not in {0, 1}
    assert "/nowhere.toml" in output.read_text()
    assert "Traceback" not in output.read_text()


def test_a_wait_has_an_end(host: Host, tmp_path: Path) -> None:
    process, _ = run(host, tmp_path, "testbed.tools.resolver", "silent")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def test_a_program_with_a_clock_of_its_own_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "SLOWNESS", 10)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    command = [sys.executable, "-m", "controld"]
    assert forked.can_run(command, {})
    assert not forked.can_run(command, {"LD_PRELOAD": "libfaketime"})
    assert not forked.can_run(["ip", "link", "show"], {})
