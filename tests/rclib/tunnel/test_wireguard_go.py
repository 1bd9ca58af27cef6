"""Debian's wireguard-go: its start, its socket and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.secret import SecretBytes
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.wireguard import Steering, TunnelSettings, make_key_pair
from rclib.tunnel.wireguard_go import (
    SOCKET_DIRECTORY,
    WireGuardGo,
    missing_for_wireguard_go,
)
from rclib.wire.gate import GateError
from testbed.waiting import until
from tests.rclib.tunnel.conftest import inside

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.host import Host

NAME = "rcgtest"


def settings(*, private: SecretBytes | None = None) -> TunnelSettings:
    return TunnelSettings(
        private if private is not None else make_key_pair().private,
        make_key_pair().public,
        ("127.0.0.1", 4000),
        (ip_network("100.64.0.2/32"), ip_network("fd00::2/128")),
        25,
    )


def left() -> tuple[list[str], list[str]]:
    """Interfaces and sockets."""
    return list(Netlink().links("rcg")), [each.name for each in SOCKET_DIRECTORY.iterdir()]


def tunnel_life() -> None:
    wireguard = WireGuardGo(Netlink())
    wanted = settings()
    wireguard.create(NAME, wanted)
    port = wireguard.bring_up(NAME, 1280)
    shown = subprocess.run(["wg", "show", NAME, "dump"], capture_output=True, text=True, check=True)
    interface, peer = (line.split("\t") for line in shown.stdout.splitlines())
    assert interface[2] == str(port)
    assert peer[2:4] == ["127.0.0.1:4000", "100.64.0.2/32,fd00::2/128"]
    counters = wireguard.counters(NAME)
    assert (counters.received_bytes, counters.handshake_age_s) == (0, None)
    wireguard.remove(NAME)
    wireguard.remove(NAME)
    assert left() == ([], [])


def steered() -> None:
    wireguard = WireGuardGo(Netlink())
    wanted = settings()
    wireguard.create(NAME, wanted)
    wireguard.bring_up(NAME, 1280)
    for endpoint in (("192.0.2.9", 4711), ("2001:db8::9", 4711)):
        wireguard.steer(NAME, Steering(wanted.peer_key, 0, 50_000, endpoint))
        assert wireguard.counters(NAME).endpoint == endpoint
    wireguard.probe(NAME, Steering(wanted.peer_key, 0))
    shown = subprocess.run(["wg", "show", NAME, "dump"], capture_output=True, text=True, check=True)
    interface, peer = (line.split("\t") for line in shown.stdout.splitlines())
    assert interface[2] == "50000"
    assert peer[2:4] == ["[2001:db8::9]:4711", "100.64.0.2/32,fd00::2/128"]
    assert peer[7] == "off", "a pulse leaves no keepalives behind"
    wireguard.remove(NAME)


@pytest.mark.netns
def test_a_running_tunnel_takes_another_port_and_endpoint(host: Host) -> None:
    inside(host, steered)


@pytest.mark.netns
def test_a_tunnel_comes_and_goes(host: Host) -> None:
    inside(host, tunnel_life)


def stale_socket() -> None:
    SOCKET_DIRECTORY.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(SOCKET_DIRECTORY / f"{NAME}.sock"))
    wireguard = WireGuardGo(Netlink())
    wireguard.create(NAME, settings())
    wireguard.remove(NAME)
    assert left() == ([], [])


@pytest.mark.netns
def test_the_socket_of_a_killed_one_does_not_block_the_next(host: Host) -> None:
    inside(host, stale_socket)


def half_made() -> None:
    wireguard = WireGuardGo(Netlink())
    with pytest.raises(GateRefused, match="refuses the settings") as refused:
        wireguard.create(NAME, settings(private=SecretBytes(b"short")))
    assert refused.value.error is GateError.SYSTEM
    assert left() == ([], [])


@pytest.mark.netns
def test_what_cannot_be_configured_is_not_left_behind(host: Host) -> None:
    inside(host, half_made)


def impossible_name() -> None:
    with pytest.raises(GateRefused, match="ended with status"):
        WireGuardGo(Netlink()).create("longer-than-an-interface-name", settings())


@pytest.mark.netns
def test_one_that_ends_at_once_is_reported(host: Host) -> None:
    inside(host, impossible_name)


def name_in_use() -> None:
    wireguard = WireGuardGo(Netlink())
    wireguard.create(NAME, settings())
    with pytest.raises(GateRefused, match="is there already"):
        WireGuardGo(Netlink()).create(NAME, settings())
    assert wireguard.counters(NAME).received_bytes == 0
    wireguard.remove(NAME)


@pytest.mark.netns
def test_an_interface_that_is_there_is_left_alone(host: Host) -> None:
    inside(host, name_in_use)


def dies_with_us() -> None:
    child = os.fork()
    if child == 0:
        WireGuardGo(Netlink()).create(NAME, settings())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not Netlink().links("rcg"), 2.0, "the interface to vanish")


@pytest.mark.netns
def test_a_killed_gate_takes_its_wireguard_go_along(host: Host) -> None:
    inside(host, dies_with_us)


def killed() -> None:
    wireguard = WireGuardGo(Netlink())
    wireguard.create(NAME, settings())
    (process,) = wireguard._processes.values()  # noqa: SLF001 -- the victim
    process.kill()
    process.wait()
    with pytest.raises(GateRefused, match="does not answer"):
        wireguard.counters(NAME)
    wireguard.remove(NAME)
    assert left() == ([], [])


@pytest.mark.netns
def test_a_killed_wireguard_go_is_noticed_and_cleaned_up(host: Host) -> None:
    inside(host, killed)


class TestMissing:
    def test_a_missing_program_is_named_with_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        missing = missing_for_wireguard_go()
        assert missing is not None
        assert "the program wireguard-go is missing (apt install" in missing

    def test_creating_without_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with contextlib.suppress(FileNotFoundError), pytest.raises(GateRefused) as refused:
            WireGuardGo(Netlink()).create(NAME, settings())
        assert refused.value.error is GateError.NO_WIREGUARD
