from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import ssl
import stat
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import aiohttp
import pytest

from controld import cli, store_users
from controld.config import ControldConfig
from controld.store_offline import read_offline
from rclib.runtime.config import load_config
from rclib.runtime.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.postgres import Postgres


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


class TestInit:
    """controld init."""

    def test_secrets_are_the_owners_alone(self, data: Path) -> None:
        for name in ("token-key.pem", "controld.db", "tls/ca-key.pem", "tls/server-key.pem"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o600

    def test_a_directory_in_use_is_left_alone(
        self, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = (data / "token-key.pem").read_bytes()
        assert run("init", data, "--host", "localhost") == 2
        assert "is not empty" in capsys.readouterr().err
        assert (data / "token-key.pem").read_bytes() == before

    @pytest.mark.parametrize("host", ["exämple", "a b", ""])
    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path, host: str) -> None:
        assert run("init", tmp_path / "new", "--host", host) == 2
        assert list(tmp_path.iterdir()) == []

    def test_a_name_that_fits_no_certificate_leaves_nothing_behind(self, tmp_path: Path) -> None:
        new = tmp_path / "new"
        assert run("init", new, "--host", "localhost", "--also", "exämple") == 2
        assert list(tmp_path.iterdir()) == []

    def test_the_password_is_shown_and_is_not_on_disk(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("init", tmp_path / "new", "--host", "localhost") == 0
        (line,) = [s for s in capsys.readouterr().out.splitlines() if "password:" in s]
        password = line.split()[-1].encode()
        for file in (tmp_path / "new").rglob("*"):
            assert not file.is_file() or password not in file.read_bytes()

    def test_a_database_server_is_filled_and_named(
        self, postgres: Postgres, tmp_path: Path
    ) -> None:
        url = postgres.new_database().url.set(drivername="postgresql").render_as_string()
        new = tmp_path / "new"
        assert run("init", new, "--host", "localhost", "--database", url) == 0
        config = load_config(ControldConfig, new / "controld.toml")
        admin = read_offline(
            config.database_in(new), lambda tx: store_users.find_user_by_name(tx, "admin")
        )
        assert admin is not None
        assert not (new / "controld.db").exists()

    @pytest.mark.parametrize("url", ["mysql://a@b/c", "a file", "postgresql://a:secret@b/c"])
    def test_what_is_no_database_server_is_refused(
        self, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("init", tmp_path / "new", "--host", "localhost", "--database", url) == 2
        assert "--database" in capsys.readouterr().err


class TestCertificate:
    """controld certificate."""

    def test_a_relays_certificate_is_trusted_by_who_trusts_the_ca(
        self, data: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "relay"
        hosts = ("--host", "relay0.example", "--host", "192.0.2.7")
        assert run("certificate", data, *hosts, "--out", out) == 0
        _handshake(data, out, "relay0.example")
        _handshake(data, out, "192.0.2.7")
        with pytest.raises(ssl.SSLCertVerificationError):
            _handshake(data, out, "relay1.example")
        assert run("certificate", data, *hosts, "--out", out) == 2  # never over a key in use


class TestAuditVerify:
    """controld audit verify."""

    def test_an_edited_row_is_named(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = data / "controld.toml"
        assert run("audit", "verify", "--config", config) == 0
        with closing(sqlite3.connect(data / "controld.db")) as database, database:
            database.execute("DROP TRIGGER audit_no_update")
            database.execute("UPDATE audit SET actor_name = 'nobody' WHERE seq = 2")
        assert run("audit", "verify", "--config", config) == 1
        assert "BROKEN at row 2" in capsys.readouterr().out


class TestResetPassword:
    """controld users reset-password."""

    def test_an_unknown_user_is_named(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = data / "controld.toml"
        assert run("users", "reset-password", "nobody", "--config", config) == 2
        assert "'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('listen_on = "0.0.0.0:1"', "listen"),
        ("insecure_http = true", "loopback"),
        ("[times]\nticket_s = 61", "ticket_s"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    data: Path, line: str, complaint: str
) -> None:
    config = data / "controld.toml"
    text = config.read_text().replace("127.0.0.1:0", "192.0.2.1:443")
    config.write_text(f"{line}\n{text}" if "[" not in line else f"{text}\n{line}\n")
    with pytest.raises(ConfigError, match=complaint):
        load_config(ControldConfig, config)


async def test_the_program_runs_answers_and_stops(data: Path) -> None:
    """The whole life as a process: start, login over TLS, a second one kept out, SIGTERM."""
    config = data / "controld.toml"
    command = (sys.executable, "-m", "controld", "--config", str(config))
    first = await _spawn(*command)
    try:
        assert first.stderr is not None
        port = 0
        while not port:
            line = (await first.stderr.readline()).decode()
            assert line, "controld ended before it was ready"
            if "serving on" in line:
                port = int(line.split("serving on 127.0.0.1:")[1].split('"')[0])
        trust = ssl.create_default_context(cafile=data / "tls/ca.pem")
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as http:
            url = f"https://localhost:{port}/api/v1/login"
            async with http.post(url, json={"name": "admin", "password": "x"}) as response:
                assert response.status == 401
        second = await _spawn(*command)
        _, said = await second.communicate()
        assert second.returncode == 2
        assert b"in use by another controld" in said
    finally:
        first.send_signal(signal.SIGTERM)
        await first.communicate()
    assert first.returncode == 0


async def _spawn(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )


def _handshake(data: Path, served: Path, name: str) -> None:
    """A TLS handshake in memory, as a client that trusts the CA."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(served / "cert.pem", served / "key.pem")
    client_side = ssl.create_default_context(cafile=data / "tls/ca.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
