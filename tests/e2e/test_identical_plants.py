"""Two plants with the same LAN, and a technician whose own LAN is that one, too: issue and remedy.

The devices have the same real addresses, so that only their virtual ones can tell them apart.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from testbed.errors import BedError
from testbed.story import MODBUS, PLC, Story
from testbed.topology import PLANT_LAN, PlantSpec, TechSpec, Topology
from testbed.waiting import until
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

PLANTS = (PlantSpec(), PlantSpec(name="bonn"))


@pytest.fixture(scope="module")
def plants() -> Iterator[tuple[Story, Story]]:
    """Both with access ON, and the technician enrolled."""
    topology = Topology(plants=PLANTS, technicians=(TechSpec(lan=PLANT_LAN),))
    with staged(topology) as first:
        first.commission()
        second = first.at_another_plant("bonn_gateway")
        for plant in (first, second):
            plant.turn_on()
        yield first, second


def connect(plant: Story) -> dict[str, Any]:
    """Start a session and wait until it is connected; returns its status."""
    plant.prepare()
    link = plant.tina.post(f"/api/v1/sessions/{plant.session}/start")["link"]
    plant.client = plant.suite.connect(link)
    return until(lambda: connected(plant), 20, f"{plant.session} to be connected")


def connected(plant: Story) -> dict[str, Any] | None:
    try:
        lines = plant.suite.client_status().splitlines()
    except BedError:
        return None  # no session process yet
    for status in map(json.loads, lines):
        if status["session"] == plant.session and status["state"] == "connected":
            return dict(status)
    return None


def read(plant: Story, address: str) -> int:
    """Read the PLC's counter of requests."""
    tool = [sys.executable, "-m", "testbed.tools.modbus_read", address, "0", "1", "15"]
    done = plant.bed.host("technician").run(tool, timeout_s=25, check=True)
    return int(json.loads(done.stdout.splitlines()[-1])["values"][0])


def test_both_plants_are_reached_at_once_and_the_right_device_answers(
    plants: tuple[Story, Story],
) -> None:
    first, second = plants
    bed = first.bed
    own_lan = bed.counter("technician", "oifname rct* ip daddr 192.168.1.0/24")
    seen = [
        bed.counter(plc, f"iifname eth0 ip saddr 192.168.1.1 tcp dport {MODBUS}")
        for plc in ("plc", "bonn_plc")
    ]
    uses = []
    for plant in plants:
        (target,) = connect(plant)["targets"]
        assert target["address"] == PLC
        uses.append(target["use"])
    assert all(uses), "who is connected knows where to"
    assert len({PLC, *uses}) == 3, "each device has an address of its own here"

    read(first, uses[0])
    assert seen[0].packets > 0
    assert seen[1].packets == 0
    before = seen[0].packets
    read(second, uses[1])
    assert seen[1].packets > 0
    assert seen[0].packets == before
    assert own_lan.packets == 0, "the technician's own network never goes into a tunnel"

    with pytest.raises(BedError, match="say which one"):
        first.suite.disconnect()
    # The second session is carried by the first one's process, and outlives it.
    first.suite.disconnect(session=first.session)
    assert read(second, uses[1]) > 0
    assert first.session_state()["end_reason"] == "technician"
    second.suite.disconnect(session=second.session)
    for plant in plants:
        assert plant.client.wait(15) == 0
    assert "rct" not in bed.host("technician").run(["ip", "-o", "link"]).stdout
    for plant in plants:
        plant.turn_off()
