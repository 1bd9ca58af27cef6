"""What the kernel is told about a leg's connection."""

from __future__ import annotations

import socket

import pytest

from rclib.tunnel.tcp_options import NOTSENT_BYTES, USER_TIMEOUT_MS, tune

TCP_NOTSENT_LOWAT = 25


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_tcp_connection_is_tuned(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        tune(connection)
        options = [
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT)
        ]
    assert options == [1, USER_TIMEOUT_MS, NOTSENT_BYTES]


def test_any_other_socket_is_left_alone() -> None:
    left, right = socket.socketpair()
    with left, right:
        tune(left)
