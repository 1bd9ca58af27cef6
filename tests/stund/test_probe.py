from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stund import probe

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.stund.conftest import StundProcess

    Start = Callable[..., StundProcess]
    OpenUdp = Callable[..., socket.socket]

FAST = ("--interval", "0.01", "--timeout", "5")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_server_on_this_machine_sees_no_nat(
    start_stund: Start, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    server = f"{host}:{start_stund('--listen', f'{host}:0').port}"

    assert probe.main([server, "-n", "3", *FAST]) == probe.EXIT_ANSWERED

    out = capsys.readouterr().out
    assert "3 of 3 answered" in out
    assert f"is seen there as {host}:" in out
    assert "NAT: none" in out


def test_json_has_every_figure(start_stund: Start, capsys: pytest.CaptureFixture[str]) -> None:
    servers = [f"127.0.0.{n}:{start_stund('--listen', f'127.0.0.{n}:0').port}" for n in (1, 2)]

    assert probe.main([*servers, servers[0], "-n", "2", "--json", *FAST]) == 0

    document = json.loads(capsys.readouterr().out)
    assert [each["server"] for each in document["servers"]] == servers
    assert [len(each["rtts_ms"]) for each in document["servers"]] == [2, 2]
    reflexive = {each["reflexive"][0].rpartition(":")[2] for each in document["servers"]}
    assert len(reflexive) == 1  # one local port towards both
    assert document["servers"][0]["error"] is None


def test_a_closed_port_is_a_refusal_and_no_reason_to_doubt_the_other_server(
    start_stund: Start, udp: OpenUdp, capsys: pytest.CaptureFixture[str]
) -> None:
    server = f"127.0.0.1:{start_stund('--listen', '127.0.0.1:0').port}"
    with udp() as closing:
        closed = f"127.0.0.1:{closing.getsockname()[1]}"

    assert probe.main([closed, server, "-n", "2", *FAST]) == probe.EXIT_SILENT

    out = capsys.readouterr().out
    assert "Connection refused" in out
    assert "2 of 2 answered" in out


def test_answers_that_are_none_are_waited_over(
    udp: OpenUdp, capsys: pytest.CaptureFixture[str]
) -> None:
    server = udp()  # does not answer
    name = f"127.0.0.1:{server.getsockname()[1]}"

    assert probe.main([name, "-n", "1", "--timeout", "0.1"]) == probe.EXIT_SILENT
    assert "no answer to 1 requests" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["127.0.0.1:0"], "is no port"),
        (["127.0.0.1:99999"], "is no port"),
        (["127.0.0.1:"], "is no port"),
        (["no-such-host.invalid"], "cannot find no-such-host.invalid"),
        (["127.0.0.1", "-n", "0"], "at least 1"),
        (["127.0.0.1", "--interval", "-1"], "more than 0"),
        (["127.0.0.1", "--timeout", "nan"], "more than 0"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stund.probe", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == probe.EXIT_USAGE
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("127.0.0.1", "127.0.0.1:3478"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("[::1]", "[::1]:3478"),
        ("::1", "[::1]:3478"),
    ],
)
def test_the_port_may_be_left_out(name: str, address: str) -> None:
    assert [str(target.server) for target in probe.resolve(name)] == [address]
