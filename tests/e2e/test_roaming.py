"""What happens to a session when its path breaks (T14): the streams inside live through it."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from testbed.nat import NatKind
from testbed.story import ECHO, PLC
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.process import Process
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

REBINDING_S = 3.0
BLACK_HOLE_S = 6.0
OTHER_RELAY_S = 1.0
UNTOUCHED_S = 0.5
TICK_S = 0.1
"""A stream sends ten times a second; no gap can be seen sharper."""


class Streams:
    """A TCP and a UDP stream through the tunnel, and the gaps in them.

    A third one stays inside the PLC: when that one is silent, it is this machine that stands still.
    """

    def __init__(self, story: Story) -> None:
        technician = story.bed.host(story.technician_host)
        self.tcp = technician.tool("stream", "tcp", PLC, str(ECHO))
        self.udp = technician.tool("stream", "udp", PLC, str(ECHO))
        self.local = story.bed.host("plc").tool("stream", "udp", "127.0.0.1", str(ECHO))
        self.since_ms = 0.0
        self.mark()

    def mark(self) -> None:
        """From here on gaps count."""
        for stream in self._all():
            self._await_answer(stream)
        self.since_ms = time.time() * 1000

    def gap_s(self) -> float:
        """The longest silence of the UDP stream since the mark; TCP must have gone on as well."""
        for stream in self._all():
            self._await_answer(stream)
        assert not any(each["event"] == "ended" for each in self.tcp.messages())
        gap_s, still_s = self._longest_s(self.udp), self._longest_s(self.local) - TICK_S
        sys.stdout.write(f"longest silence: {gap_s:.2f} s, this machine's own {still_s:.2f} s\n")
        return gap_s - max(still_s, 0)

    def close(self) -> None:
        for stream in self._all():
            stream.stop()

    def _all(self) -> tuple[Process, Process, Process]:
        return self.tcp, self.udp, self.local

    def _longest_s(self, stream: Process) -> float:
        answers = (each for each in self._answers(stream) if each >= self.since_ms)
        return max(b - a for a, b in pairwise([self.since_ms, *answers])) / 1000

    def _answers(self, stream: Process) -> list[float]:
        return [each["at_ms"] for each in stream.messages() if each["event"] == "answer"]

    def _await_answer(self, stream: Process) -> None:
        asked_ms = time.time() * 1000
        until(
            lambda: any(at > asked_ms for at in self._answers(stream)),
            20,
            f"an answer in {stream.name}",
        )


@pytest.fixture
def streams(running: Story) -> Iterator[Streams]:
    """On the direct path."""
    running.wait_direct()
    opened = Streams(running)
    yield opened
    opened.close()


def wait_path(story: Story, kind: str, *, since: dict[str, Any]) -> dict[str, Any]:
    """Wait for a change of path after what was seen before."""

    def changed() -> dict[str, Any] | None:
        details = story.path_details()
        is_new = details["since_ms"] > since["since_ms"]
        return details if is_new and details["kind"] == kind else None

    return until(changed, 30, f"the path to be {kind}")


def test_a_nats_new_binding_costs_less_than_three_seconds(
    running: Story, streams: Streams, request: pytest.FixtureRequest
) -> None:
    before = running.path_details()
    request.addfinalizer(lambda: running.bed.set_nat("tech_nat", NatKind.PORT_PRESERVING))
    streams.mark()
    running.bed.set_nat("tech_nat", NatKind.SYMMETRIC)  # and every flow gets another port
    wait_path(running, "relay", since=before)
    assert streams.gap_s() <= REBINDING_S


def test_wireguard_follows_a_new_binding_by_itself_where_the_nat_lets_it(
    running: Story, streams: Streams, request: pytest.FixtureRequest
) -> None:
    bed = running.bed
    request.addfinalizer(lambda: bed.set_nat("tech_nat", NatKind.PORT_PRESERVING))
    request.addfinalizer(lambda: bed.set_nat("plant_nat", NatKind.PORT_PRESERVING))
    before = running.path_details()
    bed.set_nat("plant_nat", NatKind.ADDRESS_DEPENDENT)
    streams.mark()
    bed.set_nat("tech_nat", NatKind.SYMMETRIC)
    assert streams.gap_s() <= REBINDING_S
    assert running.path_details()["since_ms"] == before["since_ms"], "direct all the time"


def swap_address(story: Story) -> None:
    """The technician walks into another network."""
    host = story.bed.host(story.technician_host)
    old = host.run(["ip", "-4", "-o", "address", "show", "eth0"]).stdout.split()[3]
    new = "192.168.178.77/24" if "192.168.178.77" not in old else "192.168.178.2/24"
    script = (
        f"ip address del {old} dev eth0; ip address add {new} dev eth0; "
        "ip route replace default via 192.168.178.1"
    )
    host.run(["sh", "-ec", script], check=True)


def test_another_address_is_noticed_at_once_and_direct_again_soon(
    running: Story, streams: Streams
) -> None:
    before = running.path_details()
    streams.mark()
    swap_address(running)
    wait_path(running, "direct", since=before)
    assert streams.gap_s() <= REBINDING_S
    swap_address(running)


def test_a_one_way_black_hole_leads_to_the_relay(
    running: Story, streams: Streams, request: pytest.FixtureRequest
) -> None:
    internet = running.bed.host("internet")
    hole = """table inet hole {
      chain hole {
        type filter hook forward priority filter;
        iifname "plant" oifname "tech" meta l4proto udp drop
      }
    }"""
    request.addfinalizer(lambda: internet.run(["nft", "delete", "table", "inet", "hole"]))
    before = running.path_details()
    streams.mark()
    internet.run(["nft", "-f", "-"], stdin=hole, check=True)
    details = wait_path(running, "relay", since=before)
    assert streams.gap_s() <= BLACK_HOLE_S
    assert details["detail"], "and people can see why"


def test_with_relays_and_stun_gone_the_direct_path_goes_on(
    running: Story, streams: Streams, request: pytest.FixtureRequest
) -> None:
    suite = running.suite
    before = running.path_details()
    streams.mark()
    for name in ("relay0", "relay1"):
        suite.processes[f"cloud:{name}"].kill()
        request.addfinalizer(lambda name=name: suite.start_relay(name))
    suite.processes["cloud:stund"].kill()
    request.addfinalizer(suite.start_stund)
    until(lambda: running.path_details()["relay"] == "", 10, "the ends to notice")
    assert streams.gap_s() <= UNTOUCHED_S
    assert running.path_details()["since_ms"] == before["since_ms"]


def test_roaming_works_with_the_control_plane_away(running: Story, streams: Streams) -> None:
    before = running.path_details()
    running.suite.processes["cloud:controld"].kill()
    try:
        streams.mark()
        swap_address(running)
        wait_path(running, "direct", since=before)
        assert streams.gap_s() <= REBINDING_S
        swap_address(running)
    finally:
        running.suite.start_controld()
        running.bed.host("cloud").wait_port(443)
    # The client's link comes back in its own time; the plant's OFF would not be heard before.
    running.suite.disconnect()


def test_one_relay_takes_over_from_another_within_a_second(
    story: Story, request: pytest.FixtureRequest
) -> None:
    story.bed.set_nat("plant_nat", NatKind.UDP_BLOCKED)
    request.addfinalizer(lambda: story.bed.set_nat("plant_nat", NatKind.PORT_PRESERVING))
    running: Story = request.getfixturevalue("running")
    streams = Streams(running)
    request.addfinalizer(streams.close)
    relay = running.path_details()["relay"]
    request.addfinalizer(lambda: running.suite.start_relay(relay))
    streams.mark()
    running.suite.processes[f"cloud:{relay}"].kill()
    until(lambda: running.path_details()["relay"] not in ("", relay), 10, "the other relay")
    assert streams.gap_s() <= OTHER_RELAY_S
