"""The demo's story and its counterparts, on real namespaces, NATs, WireGuard and nftables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed.api_client import ApiError
from testbed.browser import Browser
from testbed.errors import BedError
from testbed.nat import NatKind
from testbed.story import HMI, MODBUS, PLC, UNRELEASED
from testbed.tools.plc import MARK, MARK_AT
from testbed.waiting import until
from tests.e2e.conftest import in_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest import FixtureRequest  # noqa: PT013 - the one name

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

CLOSED_S = 2.0


class TestOff:
    """As delivered, and whenever the plant says so."""

    def test_with_access_off_the_gateway_sends_no_packet_to_anyone(self, story: Story) -> None:
        counter = story.bed.counter("gateway", "oifname wan0 ip daddr 203.0.113.0/24")
        story.ams.get("/")
        assert "OFF" in story.ams.text
        story.prepare()
        with pytest.raises(ApiError) as refused:
            story.start()
        assert refused.value.code == "gateway_offline"
        assert counter.packets == 0

    def test_the_page_does_not_switch_without_a_password(self, story: Story) -> None:
        stranger = Browser(story.ams_port)
        stranger.get("/")
        stranger.submit("/access", mode="on", hours="0")
        story.ams.get("/")
        assert 'class="state off"' in story.ams.text


class TestSession:
    """One that runs all the time."""

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls, story: Story) -> Iterator[Story]:
        with in_session(story) as running:
            yield running

    def test_the_technician_reads_the_plc_through_two_nats_by_relay_and_then_directly(
        self, running: Story
    ) -> None:
        first = running.read_plc()["values"]
        second = running.read_plc()["values"]
        assert second[0] > first[0]
        text = b"".join(v.to_bytes(2, "big") for v in first[MARK_AT : MARK_AT + len(MARK) // 2])
        assert text == MARK
        # The packets are there before the control plane hears of it.
        until(lambda: running.session_state()["state"] == "active", 5, "the session to be active")
        running.wait_direct()
        until(lambda: running.session_state()["path"] == "direct", 5, "controld to hear of it")
        assert running.read_plc()["values"][0] > second[0], "and directly, past the relay"

    @pytest.mark.parametrize(
        ("host", "address", "port"),
        [
            ("hmi", HMI, 80),
            ("unreleased", UNRELEASED, MODBUS),
            ("plc", PLC, 80),
            ("gateway", "192.168.1.1", 8080),
        ],
    )
    def test_what_was_not_released_gets_no_packet(
        self, running: Story, host: str, address: str, port: int
    ) -> None:
        arriving = f"iifname != lo ip daddr {address} tcp dport {port}"
        counter = running.bed.counter(host, arriving)
        # Also for a client that routes it into the tunnel all the same.
        technician = running.bed.host("technician")
        status = json.loads(running.suite.client_status())
        route = ["ip", "route", "replace", address, "dev", status["interface"]]
        if address != PLC:
            technician.run(route, check=True)
        try:
            assert not running.knock(address, port)
        finally:
            if address != PLC:
                technician.run(["ip", "route", "del", address])
        assert counter.packets == 0

    def test_the_plc_sees_the_gateways_own_address(self, running: Story) -> None:
        foreign = running.bed.counter("plc", "iifname eth0 ip saddr != 192.168.1.1 tcp dport 502")
        ours = running.bed.counter("plc", "iifname eth0 ip saddr 192.168.1.1 tcp dport 502")
        running.read_plc()
        assert foreign.packets == 0
        assert ours.packets > 0

    def test_who_is_connected_is_on_the_page(self, running: Story) -> None:
        running.ams.get("/")
        assert "tina" in running.ams.text
        assert "drive reports fault 0x2310" in running.ams.text


class TestRelay:
    def test_the_relay_sees_no_plaintext(self, story: Story, request: FixtureRequest) -> None:
        story.bed.set_nat("plant_nat", NatKind.UDP_BLOCKED)
        request.addfinalizer(lambda: story.bed.set_nat("plant_nat", NatKind.PORT_PRESERVING))
        running: Story = request.getfixturevalue("running")
        capture = running.bed.capture("cloud", "eth0")
        inside = running.bed.capture("plc", "eth0")
        running.read_plc()
        assert MARK in inside.stop(), "the mark crosses the plant; otherwise this proves nothing"
        assert MARK not in capture.stop()


class TestEnd:
    def test_nothing_is_left_on_either_end(self, story: Story) -> None:
        story.turn_on()
        story.prepare()
        story.start()
        story.suite.disconnect()
        story.client.wait(15)
        for host in ("gateway", "technician"):
            links = story.bed.host(host).run(["ip", "-o", "link"]).stdout
            assert "rcg" not in links
            assert "rct" not in links
        assert story.session_state()["end_reason"] == "technician"
        story.turn_off()

    def test_a_ticket_works_once(self, story: Story) -> None:
        story.turn_on()
        story.prepare()
        link = story.tina.post(f"/api/v1/sessions/{story.session}/start")["link"]
        story.client = story.suite.connect(link)
        story.read_plc()
        story.suite.disconnect()
        story.client.wait(15)
        again = story.suite.connect(link)
        assert again.wait(30) == 1
        assert "ticket" in again.out.read_text().lower()
        story.turn_off()


class TestCrash:
    def test_a_killed_client_leaves_no_route(self, story: Story) -> None:
        story.turn_on()
        story.prepare()
        story.start()
        story.client.kill()
        technician = story.bed.host("technician")

        def is_clean() -> bool:
            return "rct" not in technician.run(["ip", "-o", "link"]).stdout

        until(is_clean, 10, "the client's gate to remove the tunnel")
        assert PLC not in technician.run(["ip", "route"]).stdout
        story.turn_off()


class TestRecord:
    def test_the_gateways_events_arrive_without_a_gap(self, story: Story) -> None:
        story.turn_on()
        story.turn_off()
        story.turn_on()
        rows = [row for row in story.audit_rows() if row["endpoint"] == story.gateway]
        numbers = [row["endpoint_seq"] for row in rows]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "access_changed" in {row["action"] for row in rows}
        story.turn_off()

    def test_what_passed_and_what_was_refused_is_on_record(self, running: Story) -> None:
        running.read_plc()
        assert not running.knock(PLC, 80)
        running.turn_off()
        running.turn_on()  # what the goodbye could not carry follows now

        def rows(action: str) -> list[dict[str, object]]:
            return [
                row["detail"]
                for row in running.audit_rows()
                if row["action"] == action and row["session"] == running.session
            ]

        until(lambda: rows("flow_recorded") and rows("packets_refused"), 10, "the flow record")
        last = rows("flow_recorded")[-1]
        assert (last["device"], last["address"], last["final"]) == ("PLC", PLC, "yes")
        assert int(str(last["to_bytes"])) > 100
        assert int(str(last["from_bytes"])) > 100
        assert f"{PLC} tcp/80" in str(rows("packets_refused")[-1]["destinations"])
        running.turn_off()


def test_a_foreign_enrolment_code_is_refused_with_a_reason(story: Story) -> None:
    with pytest.raises(BedError, match="not enrolled"):
        story.suite.enrol_client("aaaaa-bbbbb-ccccc-ddddd-eeeee-f")
