"""The plant's page answers the plant, and nobody else: not the internet, not the technician."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from testbed.suite import AMS_PORT
from testbed.topology import Role

if TYPE_CHECKING:
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

KNOCK = """
import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
except OSError: sys.exit(1)
"""


def knocks(story: Story, host: str, address: str, port: int = AMS_PORT) -> bool:
    """Whether a TCP connection comes about."""
    command = [sys.executable, "-c", KNOCK, address, str(port)]
    return story.bed.host(host).run(command).returncode == 0


def sides(story: Story) -> tuple[str, str]:
    """The gateway's own addresses: plant side, internet side."""
    gateway = story.bed.host("gateway")
    return str(gateway.addresses_on("lan0")[0].ip), str(gateway.addresses_on("wan0")[0].ip)


@pytest.mark.parametrize("host", ["plc", "hmi", "unreleased"])
def test_from_the_plants_network_the_page_answers(story: Story, host: str) -> None:
    assert knocks(story, host, sides(story)[0])


def test_from_the_internet_nothing_answers(story: Story) -> None:
    (public,) = story.bed.host("gateway").plan.public
    assert not knocks(story, Role.INTERNET, str(public))


def test_on_the_internet_side_nothing_listens_under_either_address(story: Story) -> None:
    """The office network: next to the gateway, and free to set up any route."""
    lan, wan = sides(story)
    office = story.bed.host("plant_nat")
    accepting = f"oifname wan0 tcp sport {AMS_PORT} tcp flags & (syn | ack) == syn | ack"
    answers = story.bed.counter("gateway", accepting)
    office.run(["ip", "route", "replace", lan, "via", wan], check=True)
    try:
        assert not knocks(story, "plant_nat", wan)
        assert not knocks(story, "plant_nat", lan)
    finally:
        office.run(["ip", "route", "del", lan], check=True)
    assert answers.packets == 0


def test_through_the_tunnel_nothing_answers_under_any_of_its_addresses(running: Story) -> None:
    """Also for a technician who sends packets for the gateway itself into the tunnel."""
    gateway, technician = running.bed.host("gateway"), running.bed.host("technician")
    listed = json.loads(gateway.run(["ip", "-j", "-4", "address"], check=True).stdout)
    own = [a["local"] for each in listed for a in each["addr_info"] if a["scope"] == "global"]
    assert len(own) == 3, "plant side, internet side, inside of the tunnel"
    interface = json.loads(running.suite.client_status())["interface"]
    answers = running.bed.counter("gateway", f"oifname != lo tcp sport {AMS_PORT}")
    for address in own:
        technician.run(["ip", "route", "replace", address, "dev", interface], check=True)
        try:
            assert not knocks(running, "technician", address), address
        finally:
            technician.run(["ip", "route", "del", address], check=True)
    assert answers.packets == 0
    assert running.read_plc()["values"], "the tunnel itself works"


def test_a_session_to_the_gateway_itself_is_refused(story: Story) -> None:
    lan, _ = sides(story)
    service = {"protocol": "tcp", "port": AMS_PORT}
    device = story.admin.post(
        f"/api/v1/gateways/{story.gateway}/devices",
        {"name": "page", "address": lan, "services": [service]},
    )
    made = story.admin.post(
        "/api/v1/sessions",
        {
            "name": "page",
            "gateway": story.gateway,
            "targets": [{"device": device["id"], **service}],
            "users": [story.user],
            "reason": "curious",
        },
    )
    story.turn_on()
    try:
        link = story.tina.post(f"/api/v1/sessions/{made['id']}/start")["link"]
        client = story.suite.connect(link)
        assert client.wait(30) == 1
        assert "is an address of the gateway itself" in client.out.read_text()
    finally:
        story.turn_off()
