"""T26 DNS loss: a running session does not notice, and the control link finds its way back.

The gateway's resolver falls silent, knows no name any more, or names a machine that is not
controld, while controld is killed and started again. Half an hour of it is `make soak`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.dns_loss import Names, lose_controld, soak, start_impostor
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def names(running: Story) -> Iterator[Names]:
    made = Names(running)
    yield made
    made.restore()


def test_t26_without_dns_the_session_goes_on_and_the_link_comes_back(
    running: Story, names: Names
) -> None:
    for mode in ("silent", "nxdomain"):
        names.answer(mode)
        running.read_plc()
        lose_controld(running)
        until(lambda: running.session_state()["state"] == "active", 10, "the session to be known")
        running.read_plc()


def test_t26_a_name_that_leads_to_somebody_else_is_not_believed(
    running: Story, names: Names
) -> None:
    """Whoever listens there has a certificate of our own CA, for another name."""
    impostor = start_impostor(running)
    try:
        names.answer("127.0.0.1")
        running.read_plc()
        lose_controld(running)
    finally:
        impostor.stop()
    running.read_plc()


def test_t26_open_streams_go_on_through_every_kind_of_loss(running: Story) -> None:
    """What `make soak` does for half an hour, once."""
    figures = soak(running, minutes=0.01, every_s=0)
    assert figures["losses"] >= 1
    for told in figures["streams"].values():
        assert told["answers"] > 0
        assert told["ended"] == 0
