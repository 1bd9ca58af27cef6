from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from rclib.runtime.errors import ConfigError, StartError, bind_error


def test_a_busy_port_is_named_with_the_way_to_find_who_uses_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.socket() as second:
        address = busy.getsockname()
        with pytest.raises(OSError, match="in use") as caught:
            second.bind(address)

    error = bind_error(caught.value, f"TCP 127.0.0.1:{address[1]}")

    assert isinstance(error, StartError)
    assert f"cannot listen on TCP 127.0.0.1:{address[1]}" in str(error)
    assert "ss -tulpn" in str(error)


def test_a_foreign_address_is_named_with_the_way_to_see_the_own_ones() -> None:
    with socket.socket() as sock, pytest.raises(OSError, match="assign") as caught:
        sock.bind(("192.0.2.1", 0))

    assert "ip address" in str(bind_error(caught.value, "TCP 192.0.2.1:443"))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "CAP_NET_BIND_SERVICE"),
        (errno.EAFNOSUPPORT, "address family"),
        (errno.ENOBUFS, os.strerror(errno.ENOBUFS)),
    ],
)
def test_every_other_reason_is_said(number: int, advice: str) -> None:
    assert advice in str(bind_error(OSError(number, "x"), "UDP 0.0.0.0:3478"))


def test_an_error_without_number_keeps_its_text() -> None:
    assert str(bind_error(OSError("odd"), "UDP [::]:1")) == "cannot listen on UDP [::]:1: odd"


def test_a_config_error_begins_with_its_file() -> None:
    error = ConfigError("is wrong", file=Path("relayd.toml"), key="listen")

    assert str(error) == "relayd.toml: is wrong"
    assert error.key == "listen"
