"""T2 dead-man: a gateway whose programs die, freeze or start anew is shut until a fresh grant.

That the kernel alone closes in time is tested with both programs frozen, so that there is none
left which could.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from testbed.story import MODBUS, PLC
from testbed.streams import await_silence
from testbed.tools.plc import ECHO_PORT
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.process import Process
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

DEAD_MAN_S: Final = 16.0
LOCAL_S: Final = 2.0
LOSE_EVERYTHING: Final = """
nft flush ruleset
conntrack -F
for tunnel in $(ip -o link | grep -o 'rcg[^:@ ]*'); do ip link del $tunnel; done
sysctl -qw net.ipv4.conf.lan0.forwarding=0
"""
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


@pytest.fixture
def stream(story: Story) -> Iterator[Process]:
    """A session that carries UDP, ten messages a second."""
    story.turn_on()
    story.prepare(("udp", ECHO_PORT))
    story.start()
    process = story.bed.host("technician").tool("stream", "udp", PLC, str(ECHO_PORT))
    process.wait_message("answer")
    yield process
    process.stop()
    story.turn_off()
    story.client.stop()


def gateway_process(story: Story, program: str) -> Process:
    return story.suite.processes[f"gateway:{program}"]


def released(story: Story) -> bool:
    """Whether the kernel's allow-set names anything, whoever keeps it there."""
    shown = story.bed.host("gateway").run(
        ["nft", "list", "set", "inet", "rcd_gate", "ports4"], check=True
    )
    return "elements" in shown.stdout


def is_shut(story: Story) -> bool:
    gateway = story.bed.host("gateway")
    rules = gateway.run(["nft", "list", "ruleset"], check=True).stdout
    return "rcd_gate" not in rules and "rcg" not in gateway.run(["ip", "-o", "link"]).stdout


def assert_stays_shut_until_a_fresh_grant(story: Story) -> None:
    """After the gateway's programs are back: closed with access ON, until somebody starts anew."""
    story.turn_on()
    assert not story.knock(PLC, MODBUS)
    assert is_shut(story)
    until(lambda: story.session_state()["state"] == "ended", 15, "the old session's end")
    assert is_shut(story)
    story.client.stop()
    story.prepare()
    story.start()


def test_a_killed_rcd_closes_at_once_and_its_successor_opens_nothing(
    story: Story, stream: Process
) -> None:
    gateway_process(story, "rcd").kill()
    killed = time.monotonic()
    until(lambda: is_shut(story), LOCAL_S, "the gate to close")
    assert time.monotonic() - killed <= LOCAL_S
    await_silence(stream, LOCAL_S)
    story.suite.start_rcd()
    assert_stays_shut_until_a_fresh_grant(story)


@pytest.mark.slow
def test_with_both_programs_frozen_the_kernel_closes_by_itself(
    story: Story, stream: Process
) -> None:
    frozen = [gateway_process(story, program) for program in ("rcd", "rcd.gate")]
    for each in frozen:
        each.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        # The relay's leg froze with rcd; whether the kernel closed is seen in its allow-set.
        until(lambda: not released(story), DEAD_MAN_S + 1, "the kernel to close")
        assert 9 < time.monotonic() - began <= DEAD_MAN_S
        arriving = story.bed.counter("plc", f"iifname eth0 udp dport {ECHO_PORT}")
        assert not story.knock(PLC, MODBUS)
        assert arriving.packets == 0
    finally:
        for each in frozen:
            each.send_signal(signal.SIGCONT)
    until(lambda: is_shut(story), 10, "the gate to clear up")
    assert_stays_shut_until_a_fresh_grant(story)


@pytest.mark.slow
def test_a_frozen_rcd_is_closed_by_its_gate(story: Story, stream: Process) -> None:
    rcd = gateway_process(story, "rcd")
    rcd.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        until(lambda: is_shut(story), DEAD_MAN_S + 1, "the gate to close")
        assert time.monotonic() - began <= DEAD_MAN_S
        await_silence(stream, LOCAL_S)
    finally:
        rcd.send_signal(signal.SIGCONT)
    assert_stays_shut_until_a_fresh_grant(story)


@pytest.mark.slow
def test_a_killed_gate_closes_and_its_successor_opens_nothing(
    story: Story, stream: Process
) -> None:
    """With what systemd runs after it (`ExecStopPost=`), which the kernel's WireGuard needs."""
    gateway_process(story, "rcd.gate").kill()
    gateway = story.bed.host("gateway")
    gateway.run([sys.executable, "-m", "rcd.gate", "close"], check=True)
    await_silence(stream, LOCAL_S)
    assert is_shut(story)
    story.suite.start_gate()
    rcd = gateway_process(story, "rcd")
    story.suite.wait_log(rcd, "gate_ready", times=2)  # it looks for the gate once a second
    assert_stays_shut_until_a_fresh_grant(story)


@pytest.mark.slow
def test_a_gateway_that_boots_is_shut_and_off(story: Story, stream: Process) -> None:
    """A boot: no process, no interface, no rule is left; ON until a time of day ends with it."""
    gateway = story.bed.host("gateway")
    for program in ("ams", "rcd", "rcd.gate"):
        gateway_process(story, program).kill()
    gateway.run(["sh", "-e"], stdin=LOSE_EVERYTHING, check=True)
    other = story.bed.directory / "boot_id"
    other.write_text("00000000-0000-4000-8000-000000000000\n")
    gateway.run(["mount", "--bind", str(other), BOOT_ID], check=True)
    try:
        quiet = story.bed.counter("gateway", "oifname wan0 ip daddr 203.0.113.0/24")
        story.suite.start_gateway()
        await_silence(stream, LOCAL_S)
        story.log_in_on_the_page()  # visits end with the page's process
        assert 'class="state off"' in story.ams.text
        assert quiet.packets == 0
        assert is_shut(story)
        assert_stays_shut_until_a_fresh_grant(story)
    finally:
        gateway.run(["umount", BOOT_ID], check=True)
