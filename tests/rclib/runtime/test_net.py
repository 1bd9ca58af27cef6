from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.net import Endpoint, endpoint_of, parse_endpoint

endpoints = st.builds(Endpoint, st.ip_addresses(), st.integers(0, 65535))


@given(endpoints)
def test_what_is_printed_reads_back_the_same(endpoint: Endpoint) -> None:
    assert parse_endpoint(str(endpoint)) == endpoint


@given(st.text(max_size=40))
def test_any_other_text_is_refused_with_a_value_error(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        return
    assert isinstance(endpoint, Endpoint)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 80",
        " 127.0.0.1:80",
        "127.0.0.1:80\n",
        "127.0.0.1:٣",
        "127.0.0.01:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[127.0.0.1]:80",
        "::ffff:127.0.0.1:80",
        "localhost:80",
        ":80",
        "*:80",
    ],
)
def test_what_is_no_address_with_port_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|above 65535") as caught:
        parse_endpoint(text)
    assert repr(text) in str(caught.value)


def test_ipv6_is_printed_in_brackets() -> None:
    assert str(parse_endpoint("[2001:DB8::0:1]:443")) == "[2001:db8::1]:443"


def test_a_mapped_peer_of_a_dual_stack_socket_is_the_ipv4_peer() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client,
    ):
        accepted, peer = server.accept()
        accepted.close()

        assert peer[0] == "::ffff:127.0.0.1"
        assert endpoint_of(peer) == Endpoint(
            ipaddress.IPv4Address("127.0.0.1"), client.getsockname()[1]
        )


def test_the_sockaddr_can_be_bound() -> None:
    endpoint = parse_endpoint("[::1]:0")
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(endpoint.sockaddr)

        assert endpoint_of(sock.getsockname()).host == endpoint.host
