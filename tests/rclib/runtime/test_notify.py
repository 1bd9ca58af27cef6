from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.notify import READY, STOPPING, WATCHDOG, Notifier, status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Play the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def test_assignments_travel_as_lines_of_one_datagram(manager: socket.socket) -> None:
    Notifier(manager.getsockname()).send(READY, status("2 sessions"))

    assert manager.recv(1000) == b"READY=1\nSTATUS=2 sessions"


@pytest.mark.parametrize(
    ("assignment", "datagram"), [(STOPPING, b"STOPPING=1"), (WATCHDOG, b"WATCHDOG=1")]
)
def test_the_manager_knows_these_words(
    manager: socket.socket, assignment: str, datagram: bytes
) -> None:
    Notifier(manager.getsockname()).send(assignment)

    assert manager.recv(1000) == datagram


def test_an_at_sign_stands_for_the_abstract_namespace(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(f"\0{tmp_path}")
        Notifier(f"@{tmp_path}").send(READY)

        assert manager.recv(1000) == b"READY=1"


def test_status_text_cannot_forge_another_assignment() -> None:
    assert status("fine\nMAINPID=1\r\nX=\ty") == "STATUS=fine MAINPID=1 X= y"


@pytest.mark.parametrize("address", [None, ""])
def test_without_a_manager_nothing_is_sent(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    Notifier.from_environment().send(READY)


def test_the_environment_names_the_manager(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    Notifier.from_environment().send(READY)

    assert manager.recv(1000) == b"READY=1"


def test_a_manager_that_does_not_read_blocks_nobody(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())

    def send_for_long() -> None:
        for _ in range(100_000):
            notifier.send(WATCHDOG)

    with pytest.raises(BlockingIOError):
        send_for_long()


def test_a_manager_out_of_reach_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Notifier(str(tmp_path / "nobody")).send(READY)
