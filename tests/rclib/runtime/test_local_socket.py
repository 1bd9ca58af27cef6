from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.errors import StartError
from rclib.runtime.local_socket import Listener, open_listener

if TYPE_CHECKING:
    from pathlib import Path

CRASHING_SERVER = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
os._exit(1)
"""


def listen(path: Path, *, mode: int = 0o660, group: str | None = None) -> Listener:
    return open_listener(path, mode=mode, group=group, program="rcd")


def test_it_answers_with_the_mode_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "rcd.sock"
    with listen(path, mode=0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))

        assert path.stat().st_mode & 0o7777 == 0o600


def test_the_file_goes_with_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "rcd.sock"
    listener = listen(path)
    listener.close()
    listener.close()

    assert list(tmp_path.iterdir()) == []


def test_the_socket_of_a_crashed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rcd.sock"
    subprocess.run(
        [
            sys.executable,
            "-c",
            CRASHING_SERVER,
            str(path),
        ],
        check=False,
    )
    assert path.is_socket()

    with listen(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


class TestRefusal:
    def test_a_running_server_keeps_its_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "rcd.sock"
        with listen(path), socket.socket(socket.AF_UNIX) as client:
            with pytest.raises(StartError, match=f"another rcd is running: it answers on {path}"):
                listen(path)
            client.connect(str(path))

    def test_even_if_it_is_too_busy_to_accept(self, tmp_path: Path) -> None:
        path = tmp_path / "rcd.sock"
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(path))
            busy.listen(0)
            waiting.connect(str(path))

            with pytest.raises(StartError, match="another rcd is running"):
                listen(path)
        assert path.is_socket()

    def test_a_file_that_is_no_socket_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "rcd.sock"
        path.write_text("precious")

        with pytest.raises(StartError, match="is no socket"):
            listen(path)
        assert path.read_text() == "precious"

    def test_so_is_a_link(self, tmp_path: Path) -> None:
        path = tmp_path / "rcd.sock"
        path.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(StartError, match="is no socket"):
            listen(path)
        assert path.is_symlink()

    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match=f"{tmp_path / 'run'} does not exist"):
            listen(tmp_path / "run" / "rcd.sock")

    def test_a_missing_group_is_named_and_nothing_stays(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match="groupadd --system no-such-group"):
            listen(tmp_path / "rcd.sock", group="no-such-group")
        assert list(tmp_path.iterdir()) == []

    def test_a_path_longer_than_a_socket_can_have_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match="too long"):
            listen(tmp_path / ("x" * 108))


def test_the_group_is_set_before_anybody_can_connect(tmp_path: Path) -> None:
    name = grp.getgrgid(os.getgid()).gr_name
    with listen(tmp_path / "rcd.sock", group=name):
        assert (tmp_path / "rcd.sock").group() == name


def test_a_successor_keeps_the_file_it_put_there(tmp_path: Path) -> None:
    path = tmp_path / "rcd.sock"
    predecessor = listen(path)
    path.unlink()
    with listen(path):
        predecessor.close()

        assert path.is_socket()


def test_of_many_that_start_at_once_over_a_stale_socket_one_runs(tmp_path: Path) -> None:
    path = tmp_path / "rcd.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    started: list[Listener] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            started.append(listen(path))
        except StartError:
            return

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(started) == 1
    started[0].close()
