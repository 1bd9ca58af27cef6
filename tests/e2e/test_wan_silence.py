"""The one port that is open on the gateway's WAN side: WireGuard's own, while a path is direct."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from testbed.nat import NatKind
from testbed.topology import PlantSpec, Topology
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

KNOCK = """
import json, os, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
stun = bytes.fromhex("000100002112a442") + os.urandom(12)
knocks = [
    b"", b"\\0", os.urandom(600), stun,
    b"\\1\\0\\0\\0" + os.urandom(144), b"\\2\\0\\0\\0" + os.urandom(88),
    b"\\3\\0\\0\\0" + os.urandom(60), b"\\4\\0\\0\\0" + os.urandom(28),
]
knock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
knock.connect((address, port))
knock.settimeout(2)
answers = 0
try:
    for each in knocks * 3:
        knock.send(each)
    while knock.recv(2000):
        answers += 1
except OSError as exc:
    error = type(exc).__name__
print(json.dumps({"sent": 3 * len(knocks), "answers": answers, "error": error}))
"""
"""Nothing, noise, a STUN request, and WireGuard's four messages from somebody without its keys."""


@pytest.fixture
def story() -> Iterator[Story]:
    """A plant without NAT: whatever is sent to its gateway arrives there."""
    with staged(Topology(plants=(PlantSpec(nat=NatKind.NONE),))) as story:
        story.commission()
        story.turn_on()
        yield story


def test_a_stranger_hears_nothing_from_wireguards_own_port(story: Story) -> None:
    story.prepare()
    story.start()
    story.wait_direct()
    address, _, port = story.path_details()["peer_endpoint"].rpartition(":")
    stranger = story.bed.host("cloud")
    came = story.bed.counter("gateway", f"ip saddr {stranger.address} udp dport {port}")
    to_stranger = f"oifname wan0 ip daddr {stranger.address}"
    answered = story.bed.counter("gateway", f"{to_stranger} udp sport {port}")
    refused = story.bed.counter("gateway", f"{to_stranger} meta l4proto icmp")
    done = stranger.run([sys.executable, "-c", KNOCK, address, port], timeout_s=20, check=True)
    said = json.loads(done.stdout)
    assert came.packets == said["sent"], "they arrived"
    assert (answered.packets, refused.packets) == (0, 0)
    assert (said["answers"], said["error"]) == (0, "TimeoutError")
    story.read_plc()
    assert story.path_details()["kind"] == "direct"
