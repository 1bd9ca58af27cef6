"""One testbed with all programs for all end-to-end tests; each test leaves it as it found it.

What needs other programs, networks or clocks builds a testbed of its own with `staged`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from testbed import wall_clock
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.story import Story
from testbed.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.topology import Topology


@contextmanager
def staged(topology: Topology | None = None) -> Iterator[Story]:
    """A story on a testbed of its own, nothing started yet; skips where none can be built."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build(topology) as bed:
        yield Story(bed)


@contextmanager
def staged_with_clocks(*programs: str) -> Iterator[Story]:
    """`staged`, and these programs (`suite.processes` names them) will have clocks to be set."""
    reason = wall_clock.why_not()
    if reason is not None:
        pytest.skip(reason)
    with staged() as story:
        for name in programs:
            file = story.bed.directory / f"clock-{name.replace(':', '-')}"
            story.suite.clocks[name] = WallClock(file)
        yield story


@pytest.fixture(scope="session")
def story() -> Iterator[Story]:
    """Everything enrolled, access OFF."""
    with staged() as story:
        story.commission()
        yield story


@contextmanager
def in_session(story: Story) -> Iterator[Story]:
    """A session that has read the PLC once, until the block ends."""
    story.turn_on()
    story.prepare(("tcp", 4840), ("udp", 4840))
    story.start()
    yield story
    story.turn_off()
    story.client.wait(15)


@pytest.fixture
def running(story: Story) -> Iterator[Story]:
    with in_session(story) as running:
        yield running
