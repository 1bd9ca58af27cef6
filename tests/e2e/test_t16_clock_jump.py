"""T16 clock jump: a running session, while the clocks of its programs are set."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from testbed.story import ECHO, Story
from testbed.waiting import until
from testbed.wall_clock import DAY_S, HOUR_S
from tests.e2e.conftest import staged_with_clocks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

LEASE_S: Final = 12
LATE_S: Final = 3.0
PROGRAMS: Final = ("cloud:controld", "gateway:rcd", "technician:rcc")
STATUS: Final = """
import asyncio, json, pathlib
from ams.rcd_client import Rcd
status = asyncio.run(Rcd(pathlib.Path("/run/remoteconnect/rcd/api.sock")).status())
sessions = [(each.lease_remaining_s, each.remaining_s) for each in status.sessions]
print(json.dumps({"sessions": sessions}))
"""


@pytest.fixture(scope="module")
def told() -> Iterator[Story]:
    """Programs with clocks of their own, and short leases."""
    with staged_with_clocks(*PROGRAMS) as story:
        story.commission(controld=f"[times]\nlease_s = {LEASE_S}\n")
        yield story


@pytest.fixture
def story(told: Story) -> Iterator[Story]:
    """A session that runs; afterwards all clocks are right."""
    told.turn_on()
    told.prepare(("tcp", ECHO), ("udp", ECHO))
    told.start()
    yield told
    for clock in told.suite.clocks.values():
        clock.set_off(0)
    told.turn_off()
    told.client.wait(30)


def at_gateway(story: Story) -> dict[str, Any]:
    said = story.bed.host("gateway").run([sys.executable, "-c", STATUS], check=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("seconds", [3 * HOUR_S, -2 * DAY_S], ids=["forward", "back"])
def test_a_lease_ends_when_it_was_to_end_with_the_clocks_of_both_ends_set(
    story: Story, seconds: float
) -> None:
    controld = story.suite.processes["cloud:controld"]
    controld.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    try:
        for name in ("gateway:rcd", "technician:rcc"):
            story.suite.clocks[name].set_off(seconds)
        ((lease_s, whole_s),) = at_gateway(story)["sessions"]
        assert 0 < lease_s <= LEASE_S < whole_s
        assert story.read_plc()["values"]
        until(lambda: not at_gateway(story)["sessions"], LEASE_S + LATE_S, "the lease to end")
        assert time.monotonic() - frozen_at >= lease_s - 1
        assert story.client.wait(LEASE_S + LATE_S) is not None
    finally:
        controld.send_signal(signal.SIGCONT)


def test_a_control_plane_whose_clock_is_set_back_grants_nothing_longer(story: Story) -> None:
    ((_, whole_s),) = at_gateway(story)["sessions"]
    set_at = time.monotonic()
    story.suite.clocks["cloud:controld"].set_off(-2 * DAY_S)
    while (waited_s := time.monotonic() - set_at) < 2 * LEASE_S:
        ((lease_s, left_s),) = at_gateway(story)["sessions"]
        assert lease_s <= LEASE_S
        assert left_s <= whole_s - waited_s + 1
    assert story.read_plc()["values"], "renewed all the time"


def test_a_control_plane_whose_clock_is_set_forward_ends_what_is_over_there(story: Story) -> None:
    """The last one: the logins are over as well, and stay so until controld starts anew."""
    story.suite.clocks["cloud:controld"].set_off(3 * DAY_S)
    until(lambda: not at_gateway(story)["sessions"], LEASE_S + LATE_S, "the session's end")
