from __future__ import annotations

import ipaddress
import socket

import pytest

from ams.plant_side import interface_of, open_listeners
from rclib.runtime.errors import StartError
from rclib.runtime.net import parse_endpoint


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_leads_to_its_interface(address: str) -> None:
    if address == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    assert interface_of(ipaddress.ip_address(address)) == "lo"


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77", "0.0.0.0", "::"])  # noqa: S104
def test_what_is_no_address_of_this_machine_is_refused(address: str) -> None:
    shown = f"[{address}]" if ":" in address else address
    assert interface_of(ipaddress.ip_address(address)) is None
    with pytest.raises(StartError, match="no address of this machine"):
        open_listeners(parse_endpoint(f"{shown}:0"))


def test_a_port_that_is_taken_is_said() -> None:
    (first,) = open_listeners(parse_endpoint("127.0.0.1:0"))
    with first, pytest.raises(StartError, match="already uses it"):
        open_listeners(parse_endpoint(f"127.0.0.1:{first.getsockname()[1]}"))
