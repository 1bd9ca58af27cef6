"""Signals by the control link, where no relay reaches the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.nat import NatKind
from testbed.suite import RELAYS
from testbed.waiting import until

if TYPE_CHECKING:
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]


def test_with_all_relays_gone_the_ends_agree_on_a_direct_path_by_the_control_link(
    story: Story, request: pytest.FixtureRequest
) -> None:
    bed, suite = story.bed, story.suite
    bed.set_nat("plant_nat", NatKind.UDP_BLOCKED, forget=False)
    request.addfinalizer(lambda: bed.set_nat("plant_nat", NatKind.PORT_PRESERVING))
    running: Story = request.getfixturevalue("running")
    assert running.settled_path()["kind"] == "relay"
    for name in RELAYS:
        suite.processes[f"cloud:{name}"].kill()
        request.addfinalizer(lambda name=name: suite.start_relay(name))
    until(lambda: running.path_details()["relay"] == "", 10, "the client to notice")
    bed.set_nat("plant_nat", NatKind.PORT_PRESERVING, forget=False)
    until(lambda: running.path_details()["kind"] == "direct", 60, "the direct path")
    assert running.path_details()["relay"] == ""
    running.read_plc()
