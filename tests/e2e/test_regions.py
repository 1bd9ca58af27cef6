"""Two regions of relays, and a gateway to which the first is far away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbed.suite import RELAYS
from testbed.waiting import until
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

FAR, NEAR = "far-west", "near-east"
FAR_MS = 80


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with staged() as story:
        far, near = RELAYS
        story.suite.regions = {far: FAR, near: NEAR}
        story.commission()
        internet = story.bed.host("internet")
        internet.tool("delay", str(FAR_MS))
        port = str(RELAYS[far][1])
        rule = ["iif", "plant", "ipproto", "tcp", "dport", port, "lookup", "100"]
        internet.run(["ip", "rule", "add", *rule], check=True)
        yield story


def path_of_a_session(story: Story) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the client and the record say about the path of one session."""
    rcd = story.suite.processes["gateway:rcd"]
    story.suite.wait_log(rcd, "regions_measured")
    story.prepare()
    story.start()
    details = story.settled_path()
    story.suite.disconnect()
    until(lambda: story.session_state()["state"] == "ended", 10, "the session to be over")
    rows: list[dict[str, Any]] = []

    def recorded() -> bool:
        rows[:] = [row for row in story.audit_rows() if row["session"] == story.session]
        return any(row["action"] == "tunnel_closed" for row in rows)

    until(recorded, 10, "the gateway's record")
    return details, rows


def test_a_session_uses_the_relays_of_the_region_its_gateway_is_nearest_to(story: Story) -> None:
    story.turn_on()
    details, rows = path_of_a_session(story)
    assert details["region"] == NEAR
    (redeemed,) = [row["detail"] for row in rows if row["action"] == "ticket_redeemed"]
    assert redeemed["region"] == NEAR
    relayed, direct = (row["detail"] for row in rows if row["action"] == "path_changed")
    assert (relayed["path"], relayed["region"], relayed["mtu"]) == ("relay", NEAR, "1280")
    assert direct["path"] == "direct"
    assert int(direct["since_ms"]) > int(relayed["since_ms"])
    assert {"rtt_ms", "own", "peer", "relay"} <= set(direct)


def test_a_region_that_the_plant_has_pinned_is_used_though_another_is_nearer(story: Story) -> None:
    story.suite.processes["gateway:rcd"].stop()
    story.suite.start_rcd(settings=f'region = "{FAR}"\n')
    until(story.is_online, 20, "the gateway to be online")
    details, _ = path_of_a_session(story)
    assert details["region"] == FAR
