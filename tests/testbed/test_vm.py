"""The virtual machine: what it shares, how it ends, what it says when it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.errors import BedError
from testbed.vm import initramfs, machine, packages
from testbed.vm.__main__ import NO_STATUS
from testbed.waiting import until

DEPENDENCIES = """\
kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko kernel/drivers/virtio/virtio.ko
kernel/fs/fuse/fuse.ko:
kernel/drivers/virtio/virtio.ko:
kernel/drivers/net/wireguard/wireguard.ko: kernel/net/ipv4/udp_tunnel.ko
kernel/net/ipv4/udp_tunnel.ko:
"""


def test_the_first_files_are_the_modules_that_reach_the_root_and_no_others() -> None:
    assert initramfs.needed(DEPENDENCIES) == [
        "kernel/fs/fuse/virtiofs.ko",
        "kernel/fs/fuse/fuse.ko",
        "kernel/drivers/virtio/virtio.ko",
    ]


def test_a_machine_without_qemu_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert "apt-get install qemu-system-x86" in str(machine.why_not())
    with pytest.raises(BedError, match="qemu-system-x86_64 is missing"):
        machine.Machine(["true"])


def test_a_machine_without_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(BedError, match="needs root"):
        machine.Machine(["true"])


def test_a_kernel_that_cannot_be_fetched_is_an_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("apt-cache", "echo Depends: linux-image-1-cloud-amd64"),
        ("apt-get", "echo E: no network >&2; exit 100"),
        ("dpkg", "exit 1"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "CACHE", tmp_path / "vm")
    with pytest.raises(BedError, match=r"download linux-image-1-cloud-amd64.*no network"):
        packages.kernel()
    assert [each.name for each in tmp_path.iterdir()] == ["bin"]


def test_a_machine_without_apt_says_where_the_kernel_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "CACHE", tmp_path / "vm")
    with pytest.raises(BedError, match="comes from Debian, and apt-get is missing"):
        packages.kernel()


def vm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed.vm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
class TestRun:
    """Boots a few times: some seconds each."""

    @pytest.fixture(autouse=True)
    def possible(self) -> None:
        reason = machine.why_not()
        if reason is not None:
            pytest.skip(reason)

    def test_a_command_sees_this_machines_files_and_changes_none(self, tmp_path: Path) -> None:
        (tmp_path / "here").write_text("from outside")
        script = f"cat {tmp_path}/here && echo inside > {tmp_path}/here && touch /etc/strange"
        done = vm("--env", "MARK=crossed", "sh", "-c", f"{script}; echo $MARK; uname -r; exit 7")
        assert done.returncode == 7, done.stderr
        assert "from outside" in done.stdout
        assert "crossed" in done.stdout
        assert packages.kernel().release in done.stdout
        assert (tmp_path / "here").read_text() == "from outside"
        assert not Path("/etc/strange").exists()

    def test_the_files_are_read_only_below_the_guests_own_layer_too(self) -> None:
        script = "mount -t virtiofs host /mnt && mount -o remount,rw /mnt && touch /mnt/etc/strange"
        done = vm("sh", "-c", script)
        assert done.returncode != 0
        assert "Read-only file system" in done.stdout
        assert not Path("/etc/strange").exists()

    def test_a_machine_goes_ahead_of_whatever_else_runs_here(self) -> None:
        with machine.Machine(["true"], stdout=subprocess.DEVNULL) as running:
            pid = running.qemu.pid
            first = machine.NICENESS
            until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == first, 10, "QEMU to go ahead")
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists():
                assert group.read_text().endswith(f"nice {first}\n")

    def test_what_hangs_is_stopped_and_its_console_is_shown(self) -> None:
        script = "echo before > /dev/kmsg; echo '<3>last words' > /dev/kmsg; sleep 600"
        done = vm("--timeout", "25", "sh", "-c", script)
        assert done.returncode == NO_STATUS
        assert "not done after 25 s" in done.stderr
        assert "last words" in done.stderr

    def test_a_kernel_that_gives_up_is_no_success(self) -> None:
        done = vm("sh", "-c", "echo c > /proc/sysrq-trigger")
        assert done.returncode == NO_STATUS
        assert "ended before its command" in done.stderr
        assert "crash" in done.stderr
