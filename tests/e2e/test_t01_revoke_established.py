"""T1 revoke-established: every way a session ends cuts its open TCP and UDP flows.

Closed means: from that moment on no packet of the flow is on the PLC's wire, in either direction,
while the technician's programs go on sending. Which WireGuard moves the packets is the machine's
choice: here wireguard-go, in `make test-kernel` and `make test-kernel-sessions` the kernel's. There
a program's every step takes many times as long, and the bounds are stretched by TESTBED_SLOWNESS
as all waits are.
"""

from __future__ import annotations

import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from rclib.wire.session import EndReason
from testbed.errors import BedError
from testbed.story import PLC, Story
from testbed.suite import CONTROL_PORT, RELAYS, START_S
from testbed.tools.plc import ECHO_PORT
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.process import Process

pytestmark = [
    pytest.mark.netns,
    pytest.mark.both_kernels,
    pytest.mark.timeout(180 * SLOWNESS),
]

LOCAL_MS: Final = int(2000 * SLOWNESS)
REMOTE_MS: Final = int(5000 * SLOWNESS)
PACE: Final = min(SLOWNESS, 4.0)
"""What is waited for to the end grows less than what only limits."""
QUIET_MS: Final = int(1500 * PACE)
"""Without a packet for this long, a sender of ten a second is cut off."""
STARTS: Final = 3 if SLOWNESS > 1 else 1
"""Emulated, an `nft` may outlast the gate's patience: it opens nothing then, as it should."""
WINDOW_S: Final = int(12 * SLOWNESS)
"""Long enough for a session to begin in it."""
LEASE_S: Final = int(12 * PACE)
GONE: Final = """
table inet gone {
  chain sent { type filter hook output priority 0; policy drop; }
  chain received { type filter hook input priority 0; policy drop; }
}
"""
TUNNEL_ADDRESS: Final = re.compile(r"\b100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.")
"""RFC 6598; nothing else on the gateway has such an address."""


class Flows:
    """An open TCP and an open UDP stream to the PLC, and what of them is on its wire."""

    def __init__(self, story: Story) -> None:
        self._wire = story.bed.host("plc").tool("arrivals", "eth0", str(ECHO_PORT))
        technician = story.bed.host("technician")
        self._streams: list[Process] = []
        for kind in ("tcp", "udp"):
            stream = technician.tool("stream", kind, PLC, str(ECHO_PORT))
            self._streams.append(stream)
            stream.wait_message("answer")

    def last_ms(self, kind: str) -> int:
        packets = [m for m in self._wire.messages() if m.get("kind") == kind]
        return int(max(m["at_ms"] for m in packets))

    def closed_after(self, trigger_ms: int, limit_ms: int) -> dict[str, int]:
        """Wait until nothing arrives any more; returns milliseconds by protocol."""

        def is_quiet() -> bool:
            last = max(self.last_ms("tcp"), self.last_ms("udp"))
            return now_ms() - max(last, trigger_ms) > QUIET_MS

        patience_ms = max(0, trigger_ms - now_ms()) + limit_ms + 3 * QUIET_MS
        until(is_quiet, patience_ms / 1000 / SLOWNESS, "the flows to be cut")
        return {kind: max(0, self.last_ms(kind) - trigger_ms) for kind in ("tcp", "udp")}

    def stop(self) -> None:
        for each in (*self._streams, self._wire):
            each.stop()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def begin(story: Story, **terms: int) -> Flows:
    story.turn_on()
    for starts_left in reversed(range(STARTS)):
        story.prepare(("tcp", ECHO_PORT), ("udp", ECHO_PORT), **terms)
        try:
            story.start()
            break
        except BedError:
            if not starts_left:
                raise
    assert relay_legs(story)
    return Flows(story)


def assert_ended(
    story: Story, flows: Flows, trigger_ms: int, limit_ms: int, reason: EndReason
) -> None:
    """Assert that everything of the session is gone in time, and on record once."""
    closed = flows.closed_after(trigger_ms, limit_ms)
    assert max(closed.values()) <= limit_ms, closed
    flows.stop()
    gateway = story.bed.host("gateway")
    assert "rcg" not in gateway.run(["ip", "-o", "link"], check=True).stdout
    assert "rcd_gate" not in gateway.run(["nft", "list", "ruleset"], check=True).stdout
    for left in (["conntrack", "-L"], ["ip", "route"]):
        assert not TUNNEL_ADDRESS.search(gateway.run(left, check=True).stdout)
    assert not wireguards(story)
    # That their tokens admit nobody any more: tests/controld/test_revocations.py.
    until(
        lambda: not relay_legs(story), REMOTE_MS / 1000 / SLOWNESS, "the relays' legs to be closed"
    )

    def records() -> list[str]:
        return [
            row["detail"]["reason"]
            for row in story.audit_rows()
            if row["action"] == "tunnel_closed" and row["session"] == story.session
        ]

    story.turn_on()  # whoever was OFF delivers its record now
    until(records, 10, "the gateway's record of the end")
    assert records() == [reason.value]
    story.turn_off()


def relay_legs(story: Story) -> list[str]:
    """Who holds connections to the relays; controld, on the relays' own host, is no leg."""
    cloud = story.bed.host("cloud")
    ports = " or ".join(f"sport = :{port}" for _, port in RELAYS.values())
    listed = cloud.run(["ss", "-HtnO", "state", "established", ports], check=True).stdout
    peers = [line.split()[3].rpartition(":")[0].strip("[]") for line in listed.splitlines()]
    own = {str(each.ip) for each in cloud.addresses}
    return [peer for peer in peers if peer.removeprefix("::ffff:") not in own]


def wireguards(story: Story) -> str:
    return story.bed.host("gateway").run(["wg", "show", "interfaces"]).stdout.strip()


def ams_off(story: Story) -> EndReason:
    story.turn_off()
    return EndReason.PLANT_OFF


def ams_kill(story: Story) -> EndReason:
    story.ams.get("/")
    story.ams.submit("/end", session=story.session)
    return EndReason.PLANT_KILLED


def administrator(story: Story) -> EndReason:
    story.admin.post(f"/api/v1/sessions/{story.session}/end")
    return EndReason.ADMINISTRATOR


def owner(story: Story) -> EndReason:
    story.tina.post(f"/api/v1/sessions/{story.session}/end")
    return EndReason.TECHNICIAN


def device_removed(story: Story) -> EndReason:
    story.admin.delete(f"/api/v1/gateways/{story.gateway}/devices/{story.device}")
    story.device = ""
    return EndReason.TARGETS_CHANGED


def user_disabled(story: Story) -> EndReason:
    story.admin.post(f"/api/v1/users/{story.user}/disable")
    return EndReason.USER_DISABLED


@pytest.mark.parametrize(
    ("trigger", "limit_ms"),
    [
        pytest.param(ams_off, LOCAL_MS, id="ams_off"),
        pytest.param(ams_kill, LOCAL_MS, id="ams_kill", marks=pytest.mark.slow),
        pytest.param(administrator, REMOTE_MS, id="administrator"),
        pytest.param(owner, REMOTE_MS, id="owner", marks=pytest.mark.slow),
        pytest.param(device_removed, REMOTE_MS, id="device_removed", marks=pytest.mark.slow),
    ],
)
def test_whoever_ends_it_cuts_both_flows(
    story: Story, trigger: Callable[[Story], EndReason], limit_ms: int
) -> None:
    flows = begin(story)
    trigger_ms = now_ms()
    assert_ended(story, flows, trigger_ms, limit_ms, trigger(story))
    story.client.wait(15)


@pytest.mark.slow
def test_disabling_the_user_cuts_both_flows(story: Story) -> None:
    flows = begin(story)
    trigger_ms = now_ms()
    assert_ended(story, flows, trigger_ms, REMOTE_MS, user_disabled(story))
    story.client.wait(15)
    # The next test's technician is somebody else, at the same computer.
    shutil.rmtree(story.bed.directory / "technician-rcc")
    story.enrol_technician("tess")


@pytest.mark.slow
def test_the_end_of_the_time_window_cuts_both_flows(story: Story) -> None:
    until_ms = now_ms() + WINDOW_S * 1000
    flows = begin(story, window_until_ms=until_ms)
    assert_ended(story, flows, until_ms, LOCAL_MS, EndReason.TIME_OVER)
    story.client.wait(15)


@pytest.fixture(scope="module")
def strict(story: Story) -> Iterator[Story]:
    """Short leases, and a plant that waits for no technician who is gone."""
    config = story.suite.data / "controld.toml"
    usual = config.read_text()
    restart(story, f"{usual}\n[times]\nlease_s = {LEASE_S}\n", "technician_grace_s = 0\n")
    yield story
    restart(story, usual, "")


def restart(story: Story, controld: str, rcd: str) -> None:
    """controld with this configuration, and rcd with these settings."""
    suite = story.suite
    (suite.data / "controld.toml").write_text(controld)
    suite.processes["gateway:rcd"].stop()
    suite.processes["cloud:controld"].stop()
    suite.start_controld()
    suite.start_rcd(settings=rcd)
    story.bed.host("cloud").wait_port(CONTROL_PORT, START_S)


@pytest.mark.slow
def test_the_end_of_the_lease_cuts_both_flows(strict: Story) -> None:
    """With the control plane frozen nobody renews it; the gateway's own clock ends it."""
    flows = begin(strict)
    controld = strict.suite.processes["cloud:controld"]
    controld.send_signal(signal.SIGSTOP)
    frozen_ms = now_ms()
    try:
        closed = flows.closed_after(frozen_ms, LEASE_S * 1000 + LOCAL_MS)
        assert LEASE_S * 500 < max(closed.values()) <= LEASE_S * 1000 + LOCAL_MS
        assert not wireguards(strict)
    finally:
        controld.send_signal(signal.SIGCONT)
    flows.stop()
    strict.client.wait(30)
    strict.turn_off()


@pytest.mark.slow
def test_a_technician_who_is_gone_leaves_nothing_open(strict: Story) -> None:
    """Strict: as soon as the silence is longer than WireGuard's keepalive interval."""
    flows = begin(strict)
    technician = strict.bed.host("technician")
    # A link that is set down would lose its routes, and the next session's with them.
    technician.run(["nft", GONE], check=True)
    gone = time.monotonic()
    try:
        until(lambda: not wireguards(strict), 35, "the gateway to close")
        assert 20 < time.monotonic() - gone < 30 * SLOWNESS
    finally:
        technician.run(["nft", "delete table inet gone"], check=True)
        flows.stop()
        strict.client.stop()
    gateway = strict.bed.host("gateway")

    def is_swept() -> bool:
        return "rcd_gate" not in gateway.run(["nft", "list", "ruleset"], check=True).stdout

    # The interface goes first; the table, which by then lets nothing through, right after it.
    until(is_swept, LOCAL_MS / 1000 / SLOWNESS, "the gateway's table to go")


@pytest.mark.kernel
def test_all_of_it_by_the_kernels_wireguard(story: Story) -> None:
    """By the gateway's own record, after the tests above."""
    opened = [row for row in story.audit_rows() if row["action"] == "tunnel_opened"]
    assert {row["detail"]["backend"] for row in opened} == {"kernel"}
