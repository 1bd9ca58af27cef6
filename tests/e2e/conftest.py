"""One testbed with all programs for all end-to-end tests; each test leaves it as it found it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def story() -> Iterator[Story]:
    """Everything enrolled, access OFF."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build() as bed:
        told = Story(bed)
        told.start_programs()
        told.enrol_gateway()
        told.enrol_technician()
        yield told


@pytest.fixture
def running(story: Story) -> Iterator[Story]:
    """A session that has read the PLC once."""
    story.turn_on()
    story.prepare(("tcp", 4840), ("udp", 4840))
    story.start()
    yield story
    story.turn_off()
    story.client.wait(15)
