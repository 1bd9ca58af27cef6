"""T26 DNS loss: a running session does not notice, and the control link finds its way back.

The gateway's resolver falls silent, knows no name any more, or names a machine that is not
controld, while controld is killed and started again.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from testbed.topology import Role
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.process import Process
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(240)]

BACK_S = 60
"""The longest pause between two attempts is 30 s, and one attempt takes at most 10."""


class Names:
    """What the gateway's names lead to; as it was at the end."""

    def __init__(self, story: Story) -> None:
        etc = story.bed.directory / "etc"
        self._hosts, self._resolv = etc / "gateway.hosts", etc / "resolv.conf"
        self._before = self._hosts.read_text()
        self._gateway = story.bed.host("gateway")
        self._resolver: Process | None = None

    def answer(self, mode: str) -> None:
        """Only the resolver is asked from now on; see `testbed.tools.resolver`."""
        if self._resolver is not None:
            self._resolver.stop()
        self._resolver = self._gateway.tool("resolver", mode)
        # In place: the hosts see these very files.
        self._hosts.write_text("127.0.0.1 localhost\n")
        self._resolv.write_text("nameserver 127.0.0.1\n")

    def restore(self) -> None:
        self._hosts.write_text(self._before)
        self._resolv.write_text("")
        if self._resolver is not None:
            self._resolver.stop()


@pytest.fixture
def names(running: Story) -> Iterator[Names]:
    made = Names(running)
    yield made
    made.restore()


def restart_controld(story: Story) -> None:
    story.suite.processes["cloud:controld"].send_signal(signal.SIGKILL)
    story.suite.processes["cloud:controld"].wait(10)
    story.suite.start_controld()
    story.bed.host(Role.CLOUD).wait_port(443)


def test_t26_without_dns_the_session_goes_on_and_the_link_comes_back(
    running: Story, names: Names
) -> None:
    rcd = running.suite.processes["gateway:rcd"]
    for mode in ("silent", "nxdomain"):
        names.answer(mode)
        running.read_plc()
        ups = rcd.log.read_text().count('"link_up"')
        restart_controld(running)
        running.read_plc()
        until(
            lambda ups=ups: rcd.log.read_text().count('"link_up"') > ups,
            BACK_S,
            f"the link to come back, resolver {mode}",
        )
        until(lambda: running.session_state()["state"] == "active", 10, "the session to be known")
        running.read_plc()


def test_t26_a_name_that_leads_to_somebody_else_is_not_believed(
    running: Story, names: Names
) -> None:
    """Whoever listens there has a certificate of our own CA, for another name."""
    rcd = running.suite.processes["gateway:rcd"]
    impostor = running.suite.start_relay("relay0", "gateway", 443)
    running.bed.host("gateway").wait_port(443)
    try:
        names.answer("127.0.0.1")
        ups = rcd.log.read_text().count('"link_up"')
        restart_controld(running)
        running.read_plc()
        until(lambda: rcd.log.read_text().count('"link_up"') > ups, BACK_S, "the link to be back")
    finally:
        impostor.stop()
    running.read_plc()
