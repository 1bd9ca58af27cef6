"""Legs through a plant's HTTP proxy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rclib.runtime.errors import StartError
from rclib.runtime.secret import SecretStr
from rclib.tunnel.relay_client import dial
from rclib.tunnel.relay_leg import LegState
from rclib.tunnel.uplink import open_uplink
from rclib.wire.identity import Side
from tests.connect_proxy import LOGIN, connect_proxy
from tests.relayd.conftest import Probe

if TYPE_CHECKING:
    from pathlib import Path

    from rclib.tunnel.uplink import Uplink
    from tests.relayd.conftest import Authority, RunningRelay


def probe(relay: RunningRelay, authority: Authority) -> Probe:
    token = authority.token(Side.GATEWAY)
    return Probe(relay, token, authority.identities[Side.GATEWAY])


def through(url: str, certificate: tuple[Path, Path], login: str | None) -> Uplink:
    return open_uplink(str(certificate[0]), url, SecretStr(login) if login else None)


async def test_a_leg_goes_through_a_proxy_that_wants_a_login(
    relay: RunningRelay, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    async with connect_proxy() as proxy:
        leg = probe(relay, authority)
        await dial(relay.url, leg.connection, through(proxy.url, certificate, LOGIN))
        await leg.reaches(LegState.ALONE)
        assert proxy.tunnels == [f"127.0.0.1:{relay.port}"]
        await leg.connection.close()


@pytest.mark.parametrize("login", [None, "plant:wrong"])
async def test_without_the_right_login_the_error_says_what_the_proxy_said(
    relay: RunningRelay, authority: Authority, certificate: tuple[Path, Path], login: str | None
) -> None:
    async with connect_proxy() as proxy:
        leg = probe(relay, authority)
        with pytest.raises(OSError, match="407") as caught:
            await dial(relay.url, leg.connection, through(proxy.url, certificate, login))
        assert "wrong" not in str(caught.value)
        assert not proxy.tunnels


async def test_a_proxy_does_not_weaken_the_check_of_the_relay(
    relay: RunningRelay, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    async with connect_proxy() as proxy:
        leg = probe(relay, authority)
        stranger = replace(through(proxy.url, certificate, LOGIN), tls=open_uplink(None).tls)
        with pytest.raises(OSError, match=r"(?i)certificate.verify"):
            await dial(relay.url, leg.connection, stranger)


@pytest.mark.parametrize(
    "proxy",
    ["proxy:3128", "https://p:1", "http://p", "http://u:p@p:1", "http://p:1/x", "http://p:x"],
)
def test_what_is_no_proxy_is_said_so(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        open_uplink(None, proxy)


def test_a_login_without_a_proxy_or_a_password_is_a_mistake() -> None:
    for proxy, login in ((None, LOGIN), ("http://proxy:3128", "plant")):
        with pytest.raises(StartError, match="proxy_login"):
            open_uplink(None, proxy, SecretStr(login))


def test_the_login_is_not_shown() -> None:
    assert "pass" not in repr(open_uplink(None, "http://proxy:3128", SecretStr(LOGIN)))
