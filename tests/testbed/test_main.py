from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import __main__ as command
from testbed.requirements import why_not

PROJECT = Path(__file__).resolve().parents[2]


def test_check_names_the_command_that_installs_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("testbed.requirements.SYSTEM_PATH", "/nonexistent")
    monkeypatch.setattr(sys, "argv", ["testbed", "check"])
    assert command.main() == 1
    complaint = capsys.readouterr().err
    assert "apt-get install conntrack iproute2 nftables tcpdump util-linux" in complaint


@pytest.mark.netns
def test_up_prints_the_hosts_and_ends_with_a_signal() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "up", "--nat-tech", "symmetric"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        lines = []
        for line in up.stdout:
            lines.append(line)
            if line.startswith("logs:"):
                break
        up.send_signal(signal.SIGTERM)
        assert up.wait(15) == 0
    assert any(line.split()[:2] == ["plc", "192.168.1.10/24"] for line in lines)
    assert not Path(lines[-1].split()[1].rstrip(";")).exists()
