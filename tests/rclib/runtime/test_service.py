from __future__ import annotations

import socket
import tomllib
from typing import TYPE_CHECKING, Any

from rclib.runtime.version import suite_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StartDaemon = Callable[..., Any]


def written(directory: Path, text: str) -> str:
    path = directory / "mini.toml"
    path.write_text(text)
    return str(path)


def one_line_and_status_2(daemon: Any) -> str:  # noqa: ANN401 -- the conftest's MiniDaemon
    """Return the only thing the operator sees."""
    assert daemon.end() == (2, "")
    (line,) = daemon.text
    assert line.startswith("mini: ")
    return str(line)


class TestArguments:
    def test_version_is_that_of_the_suite(self, start_daemon: StartDaemon) -> None:
        assert start_daemon("--version").end() == (0, f"mini {suite_version()}\n")

    def test_check_config_prints_the_effective_configuration_redacted(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        secret = tmp_path / "password"
        secret.write_text("hunter2")
        secret.chmod(0o600)
        config = written(tmp_path, 'password = "password"\nport = 7\n')
        status, stdout = start_daemon("--check-config", "--config", config).end()

        assert status == 0
        assert "hunter2" not in stdout
        shown = tomllib.loads(stdout)
        assert (shown["port"], shown["behaviour"], shown["password"]) == (7, "serve", "[redacted]")

    def test_the_command_line_overrides_the_file(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        config = written(tmp_path, 'behaviour = "crash"')
        daemon = start_daemon("--config", config, "--behaviour", "leave", "--check-config")
        _, stdout = daemon.end()

        assert tomllib.loads(stdout)["behaviour"] == "leave"

    def test_a_default_file_may_be_missing_where_nothing_is_required(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        daemon = start_daemon("--check-config", MINI_CONFIG=str(tmp_path / "mini.toml"))

        assert daemon.end()[0] == 0

    def test_a_default_file_is_read_where_it_exists(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        config = written(tmp_path, "port = 7")
        _, stdout = start_daemon("--check-config", MINI_CONFIG=config).end()

        assert tomllib.loads(stdout)["port"] == 7

    def test_the_log_level_is_obeyed(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon("--behaviour", "leave", "--log-level", "warning")

        assert daemon.end()[0] == 0
        assert daemon.text == []


class TestWhatTheOperatorCanPutRight:
    """One line that says what, why and what to do; status 2; no traceback."""

    def test_an_unknown_key(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        config = written(tmp_path, "prot = 1")
        line = one_line_and_status_2(start_daemon("--config", config))

        assert line == f"mini: {config}: unknown key 'prot'; did you mean 'port'?"

    def test_check_config_finds_the_same(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        config = written(tmp_path, "prot = 1")
        one_line_and_status_2(start_daemon("--check-config", "--config", config))

    def test_a_missing_file(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        line = one_line_and_status_2(start_daemon("--config", str(tmp_path / "nowhere")))

        assert "no such file" in line

    def test_an_open_secret(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("hunter2")
        secret.chmod(0o644)
        config = written(tmp_path, 'password = "password"')
        line = one_line_and_status_2(start_daemon("--config", config))

        assert line.endswith(f"run: chmod o= {secret}")

    def test_an_argument_without_meaning(self, start_daemon: StartDaemon) -> None:
        line = one_line_and_status_2(start_daemon("--behaviour", "fly\nhigh"))

        assert "there is no behaviour 'fly" in line

    def test_a_busy_port(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            config = written(tmp_path, f'behaviour = "bind"\nport = {port}')
            line = one_line_and_status_2(start_daemon("--config", config))

        assert f"cannot listen on TCP 127.0.0.1:{port}" in line

    def test_a_busy_port_of_the_status_pages(
        self, start_daemon: StartDaemon, tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            address = f"127.0.0.1:{busy.getsockname()[1]}"
            text = f'behaviour = "show_status"\n[status]\nlisten = "{address}"'
            line = one_line_and_status_2(start_daemon("--config", written(tmp_path, text)))

        assert f"{address} for the status pages" in line


def test_an_unreadable_default_file_is_not_taken_for_a_missing_one(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    # A directory in its place: the superuser would read a file whatever its mode.
    config = tmp_path / "mini.toml"
    config.mkdir()

    line = one_line_and_status_2(start_daemon(MINI_CONFIG=str(config)))

    assert "cannot be read: Is a directory" in line
