"""T10: controld is killed while a session runs.

The session goes on to the end of its lease and no further, OFF is as fast as ever, and what
happened meanwhile is on record exactly once and in order when controld is back.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from testbed.topology import Role
from testbed.waiting import until
from tests.e2e.conftest import staged
from tests.e2e.test_t01_revoke_established import LOCAL_MS, begin, now_ms, wireguards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(240)]

LEASE_S: Final = 15
MEMORY_KB: Final = 20_000


@pytest.fixture(scope="module")
def away() -> Iterator[Story]:
    """Short leases, so that their end is soon."""
    with staged() as told:
        told.commission(controld=f"[times]\nlease_s = {LEASE_S}\n")
        yield told


def kill_controld(story: Story) -> int:
    controld = story.suite.processes["cloud:controld"]
    controld.send_signal(signal.SIGKILL)
    controld.wait(10)
    return now_ms()


def start_controld(story: Story) -> None:
    story.suite.start_controld()
    story.bed.host(Role.CLOUD).wait_port(443)


OF_RCD: Final = r"""
for process in /proc/[0-9]*; do
  case "$(tr '\0' ' ' < $process/cmdline)" in
    /*' -m rcd --config '*) grep VmRSS $process/status ;;
  esac
done
"""


def memory_kb(story: Story) -> int:
    """Of rcd."""
    said = story.bed.host("gateway").run(["sh", "-c", OF_RCD]).stdout
    (line,) = said.splitlines()
    return int(line.split()[1])


def test_t10_a_session_outlives_controld_to_the_end_of_its_lease(away: Story) -> None:
    flows = begin(away)
    before_kb = memory_kb(away)
    killed_ms = kill_controld(away)
    try:
        closed = flows.closed_after(killed_ms, LEASE_S * 1000 + LOCAL_MS)
        assert LEASE_S * 500 < max(closed.values()) <= LEASE_S * 1000 + LOCAL_MS, closed
        assert not wireguards(away)
        assert memory_kb(away) - before_kb <= MEMORY_KB
    finally:
        flows.stop()
        start_controld(away)
    away.client.wait(60)
    until(lambda: away.session_state()["state"] == "ended", 60, "the end to be known")
    away.turn_off()


def test_t10_off_does_not_wait_for_controld_and_all_of_it_is_on_record_once(away: Story) -> None:
    flows = begin(away)
    kill_controld(away)
    off_ms = now_ms()
    try:
        assert away.turn_off() <= LOCAL_MS
        closed = flows.closed_after(off_ms, LOCAL_MS)
        assert max(closed.values()) <= LOCAL_MS, closed
    finally:
        flows.stop()
        start_controld(away)
    away.client.wait(60)
    away.turn_on()

    def rows() -> list[dict[str, object]]:
        return [row for row in away.audit_rows() if row["endpoint"] == away.gateway]

    def is_told() -> bool:
        return any(
            row["action"] == "tunnel_closed" and row["session"] == away.session for row in rows()
        )

    until(is_told, 30, "the gateway's record of the end")
    told = rows()
    assert [row["endpoint_seq"] for row in told] == list(range(1, len(told) + 1))
    assert {row["endpoint_gap"] for row in told} == {0}
    actions = [row["action"] for row in told if row["session"] == away.session]
    assert actions.count("tunnel_closed") == 1
    assert actions.index("tunnel_opened") < actions.index("tunnel_closed")
    assert away.session_state()["state"] == "ended"
    away.turn_off()
