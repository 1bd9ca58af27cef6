"""`rcc agent`: there before any session, and after it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from testbed.waiting import until
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with staged() as story:
        story.commission()
        story.turn_on()
        yield story


def test_an_agent_carries_sessions_one_after_the_other_and_ends_what_runs(story: Story) -> None:
    agent = story.suite.start_agent()
    assert story.suite.client_status() == ""
    for _ in range(2):
        story.prepare()
        story.start()
        story.suite.disconnect()
        assert story.client.wait(10) == 0
        assert agent.poll() is None
    story.prepare()
    story.start()
    said = json.loads(story.suite.client_status())
    assert said["session"] == story.session
    assert agent.stop(15) == 0
    assert story.client.wait(10) == 0
    until(lambda: story.session_state()["state"] == "ended", 10, "the session to be over")
    assert story.session_state()["end_reason"] == "technician"
