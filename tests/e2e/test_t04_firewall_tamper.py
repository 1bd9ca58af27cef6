"""T4 firewall-tamper, the record: whoever changes the gateway's rules is on the audit trail.

What counts as tampering, and that it closes, is tested in tests/rcd/gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbed.story import MODBUS, PLC
from testbed.waiting import until

if TYPE_CHECKING:
    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]


def mismatches(story: Story) -> list[dict[str, Any]]:
    return [row for row in story.audit_rows() if row["action"] == "ruleset_mismatch"]


def test_flushed_rules_end_the_session_and_are_on_record(running: Story) -> None:
    before = len(mismatches(running))
    running.bed.host("gateway").run(["nft", "flush", "ruleset"], check=True)
    running.client.wait(15)
    until(lambda: len(mismatches(running)) > before, 10, "the record")
    (new,) = mismatches(running)[before:]
    assert "rcd_gate is gone" in new["detail"]["detail"]
    assert running.session_state()["end_reason"] == "ruleset_mismatch"
    assert not running.knock(PLC, MODBUS)


def test_forwarding_switched_on_while_idle_is_switched_off_and_on_record(story: Story) -> None:
    story.turn_on()
    before = len(mismatches(story))
    gateway = story.bed.host("gateway")
    gateway.run(["sysctl", "-q", "net.ipv4.ip_forward=1"], check=True)

    def forwards() -> str:
        return gateway.run(["sysctl", "-n", "net.ipv4.ip_forward"], check=True).stdout.strip()

    until(lambda: forwards() == "0", 2.5, "forwarding to be off again")
    until(lambda: len(mismatches(story)) > before, 10, "the record")
    (new,) = mismatches(story)[before:]
    assert "ipv4/conf/all/forwarding" in new["detail"]["detail"]
    story.turn_off()
