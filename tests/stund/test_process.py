"""The program as operators run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from rclib.wire import stun
from rclib.wire.stun_attributes import XOR_MAPPED_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stund.conftest import StundProcess

    Start = Callable[..., StundProcess]
    OpenUdp = Callable[..., socket.socket]
    Request = Callable[..., bytes]


def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_it_answers_without_a_configuration(
    start_stund: Start, udp: OpenUdp, request_of: Request, host: str
) -> None:
    stund = start_stund("--listen", f"{host}:0")
    client = udp(host.strip("[]"))

    client.sendto(request_of(), (host.strip("[]"), stund.port))
    answer = stun.decode(client.recv(100))

    mapped = answer.get(XOR_MAPPED_ADDRESS)
    assert mapped is not None
    assert (str(mapped.host), mapped.port) == client.getsockname()[:2]


def test_the_buffers_it_obtained_are_in_the_log(start_stund: Start) -> None:
    stund = start_stund("--listen", "127.0.0.1:0")
    opened = next(event for event in stund.events if event["event"] == "socket_opened")
    assert opened["receive_buffer"] >= 65_536
    assert opened["send_buffer"] >= 65_536


def test_a_wildcard_socket_answers_from_the_address_that_was_asked(
    start_stund: Start, udp: OpenUdp, request_of: Request
) -> None:
    stund = start_stund("--listen", "0.0.0.0:0")
    client = udp()
    for host in ("127.0.0.1", "127.0.0.2", "127.9.9.9"):
        client.sendto(request_of(), (host, stund.port))
        assert client.recvfrom(100)[1] == (host, stund.port)


def test_a_taken_port_is_told_and_ends_it(start_stund: Start) -> None:
    taken = start_stund("--listen", "127.0.0.1:0").port
    done = subprocess.run(
        [sys.executable, "-m", "stund", "--listen", f"127.0.0.1:{taken}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert f"127.0.0.1:{taken}" in done.stderr
    assert "Traceback" not in done.stderr


def test_sockets_of_systemd_are_taken_over_and_ipv4_clients_of_a_dual_stack_one_are_ipv4(
    udp: OpenUdp, request_of: Request
) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as handed:
        handed.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        handed.bind(("::", 0))
        port = handed.getsockname()[1]
        script = f'exec 3<&{handed.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        with subprocess.Popen(
            ["bash", "-c", script, "bash", sys.executable, "-m", "stund"],
            pass_fds=[handed.fileno()],
            stderr=subprocess.PIPE,
        ) as process:
            clients = [udp("127.0.0.1"), udp("::1")]
            for client in clients:  # the kernel keeps what arrives before it is up
                client.sendto(request_of(), (client.getsockname()[0], port))
            try:
                answers = [stun.decode(client.recv(100)) for client in clients]
            finally:
                process.terminate()
                _, log = process.communicate(timeout=20)
            assert process.returncode == 0, log
    mapped = [answer.get(XOR_MAPPED_ADDRESS) for answer in answers]
    assert [str(each.host) for each in mapped if each] == ["127.0.0.1", "::1"]


def test_a_tcp_socket_of_systemd_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        script = f'exec 3<&{handed.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-m", "stund"],
            pass_fds=[handed.fileno()],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode != 0
    assert "ListenDatagram=" in done.stderr


def test_each_outcome_has_a_counter(
    start_stund: Start, write_config: Callable[[str], str], udp: OpenUdp, request_of: Request
) -> None:
    status = free_tcp_port()
    config = write_config(
        f'listen = ["127.0.0.1:0"]\n[status]\nlisten = "127.0.0.1:{status}"\n'
        "[rate_limit]\nrequests_per_s = 0.001\nburst = 3\n"
    )
    stund = start_stund("--config", config)
    client = udp()
    server = ("127.0.0.1", stund.port)

    client.sendto(b"no request", server)
    for _ in range(5):
        client.sendto(request_of(), server)
    for _ in range(3):
        client.recv(100)
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)

    with urllib.request.urlopen(f"http://127.0.0.1:{status}/metrics", timeout=10) as page:
        metrics = page.read().decode()
    assert 'stund_datagrams_total{outcome="answered"} 3.0' in metrics
    assert 'stund_datagrams_total{outcome="rate_limited"} 2.0' in metrics
    assert 'stund_datagrams_total{outcome="not_stun"} 1.0' in metrics
    assert 'stund_datagrams_total{outcome="malformed"} 0.0' in metrics


def test_the_rate_limit_can_be_switched_off(
    start_stund: Start, udp: OpenUdp, request_of: Request
) -> None:
    stund = start_stund("--listen", "127.0.0.1:0", "--no-rate-limit")
    client = udp()
    for _ in range(100):
        client.sendto(request_of(), ("127.0.0.1", stund.port))
    assert [len(client.recv(100)) for _ in range(100)] == [32] * 100


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which stund then does without")
def test_it_needs_no_privilege(udp: OpenUdp, request_of: Request) -> None:
    """As under its unit: an account without any capability, and no way to get one."""
    with subprocess.Popen(
        [
            *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"),
            *("--bounding-set=-all", sys.executable, "-m", "stund", "--listen", "127.0.0.1:0"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        opened = process.stderr.readline()
        if "Permission denied" in opened:
            process.wait(10)
            pytest.skip("the project's directory is not open to other accounts")
        port = int(opened.partition('"listen":"127.0.0.1:')[2].partition('"')[0])
        client = udp()
        client.sendto(request_of(), ("127.0.0.1", port))
        assert len(client.recv(100)) == 32
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
